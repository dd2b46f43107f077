//! A run that SLURM executes: `trainmaster-trainer slurm <submission directory>`, on a node.
//!
//! The submission directory says which run this task is ([`trainmaster_domain::slurm::tasks`]); the run's directory is the same as everywhere. A
//! job that was put back into the queue begins again here, and waits for the daemon to hand it the run under its next lease.

mod fence;
mod handover;
mod job;

pub use job::{NotAJob, SlurmJob};

use crate::run::{self, executor::Executor, remark::remark};
use fence::Fence;
use handover::{HandOver, wait_for_lease};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use trainmaster_domain::run::{CONTRACT_VERSION, EXIT_LEFT, EXIT_NOT_HANDED_OVER, EXIT_SUPERSEDED};
use trainmaster_domain::slurm::tasks::{TASKS_FILE, Tasks};

/// What the node's SLURM says by signal.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// Set by SIGTERM: the job ends.
    pub terminated: Arc<AtomicBool>,
    /// Set by SIGUSR1: its time limit is near.
    pub time_is_nearly_up: Arc<AtomicBool>,
}

/// Does what is this job's part of a submission, and returns the exit status. `variable` reads the environment that SLURM gave the job.
#[must_use]
pub fn run(directory: &Path, variable: impl Fn(&str) -> Option<String>, signals: &Signals) -> i32 {
    let found = SlurmJob::of(&variable)
        .map_err(|error| error.to_string())
        .and_then(|job| {
            let tasks = read_tasks(directory)?;
            let run_directory = run_directory(&tasks, &job)?;
            Ok((job, tasks, run_directory))
        });
    let (job, tasks, run_directory) = match found {
        Ok(found) => found,
        Err(error) => {
            remark(&error);
            return run::EXIT_SPEECHLESS;
        }
    };
    let limit = Duration::from_secs(tasks.handover_timeout_seconds);
    let waited = wait_for_lease(
        &run_directory,
        &tasks.submission_id,
        job.restarts(),
        limit,
        &signals.terminated,
    );
    let lease = match waited {
        HandOver::Lease(lease) => lease,
        HandOver::Superseded => {
            remark("another job has this run now");
            return EXIT_SUPERSEDED;
        }
        HandOver::Terminated => return EXIT_LEFT,
        HandOver::TimedOut => {
            remark(format_args!(
                "the daemon has not handed over the run within {limit:?}: when it is back, it submits the run anew"
            ));
            return EXIT_NOT_HANDED_OVER;
        }
    };
    match Fence::take(&run_directory, lease, &job) {
        Ok(Fence::Ours) => {}
        Ok(Fence::Taken(by)) => {
            remark(format_args!(
                "lease {lease} of this run is with job {by} already"
            ));
            return EXIT_SUPERSEDED;
        }
        Err(error) => {
            remark(format_args!("{}: {error}", run_directory.display()));
            return run::EXIT_SPEECHLESS;
        }
    }
    let executor = Executor::slurm(
        job,
        Arc::clone(&signals.terminated),
        Arc::clone(&signals.time_is_nearly_up),
    );
    run::run(&run_directory, lease, executor)
}

fn read_tasks(directory: &Path) -> Result<Tasks, String> {
    let path = directory.join(TASKS_FILE);
    let said = |error: &dyn std::fmt::Display| {
        format!(
            "{}: {error}; is the state directory on a file system that this node shares?",
            path.display()
        )
    };
    let text = fs::read(&path).map_err(|error| said(&error))?;
    let tasks: Tasks = serde_json::from_slice(&text).map_err(|error| said(&error))?;
    if tasks.contract != CONTRACT_VERSION {
        return Err(format!(
            "the submission follows version {} of the run contract, this trainer version {CONTRACT_VERSION}: install the daemon's release on the \
             nodes",
            tasks.contract
        ));
    }
    Ok(tasks)
}

fn run_directory(tasks: &Tasks, job: &SlurmJob) -> Result<PathBuf, String> {
    tasks
        .tasks
        .iter()
        .find(|task| task.index == job.task())
        .map(|task| PathBuf::from(&task.run_directory))
        .ok_or_else(|| {
            format!(
                "submission {} has no task of job {job}",
                tasks.submission_id
            )
        })
}
