//! Which lease this turn of a job has.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use trainmaster_domain::Lease;
use trainmaster_domain::run::spec::RunSpec;

const LOOK: Duration = Duration::from_millis(500);

/// What became of waiting for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOver {
    /// The run is this job's.
    Lease(Lease),
    /// It is another's.
    Superseded,
    /// SLURM has ended the job meanwhile.
    Terminated,
    /// The daemon has not said.
    TimedOut,
}

/// Waits until `spec.json` is for this turn of this submission's job. Ends at once where it is for another.
pub(super) fn wait_for_lease(
    run_directory: &Path,
    submission_id: &str,
    restarts: u32,
    limit: Duration,
    terminated: &AtomicBool,
) -> HandOver {
    let begun = Instant::now();
    loop {
        if terminated.load(Ordering::Relaxed) {
            return HandOver::Terminated;
        }
        if let Some(decided) = look(run_directory, submission_id, restarts) {
            return decided;
        }
        let left = limit.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return HandOver::TimedOut;
        }
        std::thread::sleep(left.min(LOOK));
    }
}

/// None: it is not decided. A spec that is not there yet, or not whole, is what a shared file system shows late.
fn look(run_directory: &Path, submission_id: &str, restarts: u32) -> Option<HandOver> {
    let text = match fs::read(run_directory.join("spec.json")) {
        Ok(text) => text,
        // A run that was deleted has no directory at all.
        Err(error) if error.kind() == ErrorKind::NotFound && !run_directory.is_dir() => {
            return Some(HandOver::Superseded);
        }
        Err(_) => return None,
    };
    let spec: RunSpec = serde_json::from_slice(&text).ok()?;
    let slurm = match spec.slurm {
        Some(slurm) if slurm.submission_id == submission_id => slurm,
        _ => return Some(HandOver::Superseded),
    };
    match slurm.restart.cmp(&restarts) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(HandOver::Lease(spec.lease)),
        std::cmp::Ordering::Greater => Some(HandOver::Superseded),
    }
}
