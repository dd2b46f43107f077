//! One job a lease, whatever SLURM does twice: a controller that was killed may have forgotten that it started a job, and start it again.

use super::SlurmJob;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use trainmaster_domain::Lease;

/// Whose a lease is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fence {
    /// This process's.
    Ours,
    /// Somebody was here before: the job, and how often it had been put back.
    Taken(String),
}

impl Fence {
    /// Takes the lease, unless somebody has. `slurm-job.<lease>` in the run's directory says who.
    pub(super) fn take(run_directory: &Path, lease: Lease, job: &SlurmJob) -> io::Result<Self> {
        let path = run_directory.join(format!("slurm-job.{lease}"));
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let by = fs::read_to_string(&path).unwrap_or_default();
                return Ok(Self::Taken(by.trim().to_owned()));
            }
            Err(error) => return Err(error),
        };
        writeln!(file, "{job} restart {}", job.restarts())?;
        file.sync_all()?;
        Ok(Self::Ours)
    }
}
