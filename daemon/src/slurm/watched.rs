//! What is known of a job.

use chrono::{DateTime, Utc};
use trainmaster_domain::slurm::SlurmState;

/// What SLURM says of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What it is doing.
    pub state: SlurmState,
    /// The same, as SLURM prints it.
    pub raw: String,
    /// When it was started last; none while it waits.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended; none before.
    pub ended_at: Option<DateTime<Utc>>,
    /// How often it was put back into the queue; none where only accounting or the completion file knows the job, which do not say it.
    pub restarts: Option<u32>,
    /// Exit status and signal, as SLURM prints them (`1:0`); none before the end.
    pub exit_code: Option<String>,
    /// Why it waits or how it failed, as SLURM says; none when it says nothing.
    pub reason: Option<String>,
}

/// Seconds since 1970, as SLURM prints them for `SLURM_TIME_FORMAT=%s`; none for `N/A`, `Unknown`, `None` and 0.
pub(super) fn moment(printed: &str) -> Option<DateTime<Utc>> {
    let seconds: i64 = printed.trim().parse().ok()?;
    DateTime::from_timestamp(seconds, 0).filter(|_| seconds > 0)
}

/// What SLURM says where it has nothing to say.
pub(super) fn said(printed: &str) -> Option<String> {
    let printed = printed.trim();
    let nothing = ["", "None", "(null)", "N/A", "Unknown"].contains(&printed);
    (!nothing).then(|| printed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_one_or_none() {
        assert_eq!(
            moment("1795185048").map(|at| at.to_rfc3339()),
            Some("2026-11-20T14:30:48+00:00".to_owned())
        );
        for none in ["N/A", "Unknown", "None", "0", "", "-5", "99999999999999999"] {
            assert_eq!(moment(none), None, "{none}");
        }
    }
}
