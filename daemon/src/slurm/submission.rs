//! A submission's directory: what its tasks execute, and what became of submitting them, durable however the daemon ends.

use super::Cluster;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use trainmaster_domain::slurm::{SlurmResources, Tasks, tasks::TASKS_FILE};

/// What `sbatch` is asked beside the script: kept in the directory for whoever has to submit it after a crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// What is asked for.
    pub(crate) resources: SlurmResources,
    /// What `squeue` shows.
    pub(crate) name: String,
    /// Where the scripts print to; `%a` is a task's index.
    pub(crate) output: String,
}

const ASKED_FILE: &str = "sbatch.json";

/// The directory of a submission, `<state directory>/slurm/<submission>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubmissionDirectory {
    path: PathBuf,
}

impl SubmissionDirectory {
    /// That of a submission, which need not exist.
    pub(crate) fn of(state_directory: &Path, submission: &str) -> Self {
        Self {
            path: state_directory.join("slurm").join(submission),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The filled-in template.
    pub(crate) fn script(&self) -> PathBuf {
        self.path.join("script.sh")
    }

    /// Whether this daemon's state directory has it.
    pub(crate) fn exists(&self) -> bool {
        self.path.join(TASKS_FILE).is_file()
    }

    /// Makes it: script and tasks are durable before anybody submits them.
    pub(crate) fn create(&self, script: &str, asked: &Asked, tasks: &Tasks) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        write(
            &self.path.join(ASKED_FILE),
            &serde_json::to_vec_pretty(asked)?,
        )?;
        write(&self.script(), script.as_bytes())?;
        write(
            &self.path.join(TASKS_FILE),
            &serde_json::to_vec_pretty(tasks)?,
        )
    }

    /// What `sbatch` is asked.
    pub(super) fn asked(&self) -> io::Result<Asked> {
        Ok(serde_json::from_slice(&fs::read(
            self.path.join(ASKED_FILE),
        )?)?)
    }

    /// Takes the lock that whoever submits has, and `sbatch` itself until it ends: once it is held, nobody submits this.
    pub(super) async fn lock(&self) -> io::Result<File> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.path.join("lock"))?;
        let mut pause = Duration::from_millis(2);
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    /// The number that SLURM gave the job, as far as `sbatch` got to say it.
    pub(super) fn number(&self) -> Result<Option<String>, super::SlurmError> {
        Cluster::printed_number(&self.path)
    }
}

/// Written beside, synced, renamed.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_lock_is_held_by_a_child_that_outlives_its_parents_copy() {
        let folder = tempfile::tempdir().unwrap();
        let directory = SubmissionDirectory::of(folder.path(), "s");
        let tasks = Tasks {
            contract: 1,
            submission_id: "s".to_owned(),
            handover_timeout_seconds: 60,
            tasks: vec![],
        };
        let asked = Asked {
            resources: SlurmResources::default(),
            name: "s".to_owned(),
            output: "/dev/null".to_owned(),
        };
        directory.create("#!/bin/sh\n", &asked, &tasks).unwrap();
        assert_eq!(directory.asked().unwrap(), asked);
        let held = directory.lock().await.unwrap();
        let copy = held.try_clone().unwrap();
        drop(held);
        let second = tokio::time::timeout(Duration::from_millis(300), directory.lock()).await;
        assert!(second.is_err());
        drop(copy);
        directory.lock().await.unwrap();
    }
}
