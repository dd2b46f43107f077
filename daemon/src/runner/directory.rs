//! The run directory: all that a run and the daemon share.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use trainmaster_domain::{
    Lease,
    run::{
        control::{Control, Request},
        journal::Heartbeat,
        spec::RunSpec,
    },
};

/// What is written beside, for a lease: the spec, and the trainer's heartbeat.
const STAGED_SPEC: &str = ".spec.json.";
const STAGED_HEARTBEAT: &str = ".heartbeat.";
/// How the names of directories end that a trainer has not finished.
const UNFINISHED: &str = ".partial";

/// A run directory, as `trainmaster_domain::run` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// The directory at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// What happened.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.path.join("journal.jsonl")
    }
    /// What the trainer prints.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.path.join("trainer.log")
    }

    /// Makes it, with its parents.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)
    }

    /// Writes what is to become `spec.json` beside it, and waits for the disk.
    ///
    /// # Errors
    /// What the file system says.
    pub fn stage_spec(&self, spec: &RunSpec) -> io::Result<StagedSpec> {
        let content = serde_json::to_vec_pretty(spec)?;
        // Made first: it removes what a full disk lets be written only in part.
        let staged = StagedSpec {
            path: self.path.join(format!("{STAGED_SPEC}{}", spec.lease)),
        };
        write(&staged.path, &content)?;
        Ok(staged)
    }

    /// Replaces `spec.json` by what was written beside it for a lease, and `control` by what is asked of it before it has begun.
    ///
    /// # Errors
    /// What the file system says.
    pub fn publish(
        &self,
        staged: StagedSpec,
        lease: Lease,
        request: Option<Request>,
    ) -> io::Result<()> {
        match request {
            Some(request) => self.write_control(&Control { lease, request })?,
            None => self.clear_control()?,
        }
        fs::rename(&staged.path, self.path.join("spec.json"))
    }

    /// Replaces `control`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_control(&self, control: &Control) -> io::Result<()> {
        self.replace("control", &serde_json::to_vec(control)?)
    }

    /// Removes `control`, so that nothing that was asked of an earlier lease lies about.
    ///
    /// # Errors
    /// What the file system says.
    pub fn clear_control(&self) -> io::Result<()> {
        match fs::remove_file(self.path.join("control")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what was written beside under this lease and earlier ones, and never got its name: whoever wrote it was killed meanwhile.
    pub fn remove_staged(&self, lease: Lease) {
        remove_from(&self.path, |name| {
            [STAGED_SPEC, STAGED_HEARTBEAT].iter().any(|prefix| {
                name.strip_prefix(prefix)
                    .and_then(|rest| rest.parse().ok())
                    .is_some_and(|of: u64| of <= lease.0)
            })
        });
    }

    /// Removes what a trainer has not finished, once it is certain that none is at it.
    pub fn remove_unfinished(&self) {
        for directory in [&self.path, &self.path.join("checkpoints")] {
            remove_from(directory, |name| name.ends_with(UNFINISHED));
        }
    }

    /// The last sign of life; none when there is none or it cannot be read at this moment.
    #[must_use]
    pub fn heartbeat(&self) -> Option<Heartbeat> {
        let bytes = fs::read(self.path.join("heartbeat")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Written beside, synced, renamed.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let beside = self.path.join(format!(".{name}.new"));
        let replaced =
            write(&beside, content).and_then(|()| fs::rename(&beside, self.path.join(name)));
        if replaced.is_err() {
            let _ = fs::remove_file(&beside);
        }
        replaced
    }
}

/// What cannot be removed stays: nobody reads it.
fn remove_from(directory: &Path, is_left_over: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&is_left_over) {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

/// A spec that waits to be published; it goes when it is not.
#[derive(Debug)]
pub struct StagedSpec {
    path: PathBuf,
}

impl Drop for StagedSpec {
    fn drop(&mut self) {
        // A published one is not there any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// The content is durable, so that no crash leaves a file that is there and empty. The directory is not synced: a crash that undoes a
/// renaming ends the run as well, and the next claim writes anew.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_beside_and_never_got_its_name_goes_but_not_that_of_a_later_lease() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(folder.path());
        let write = |name: &str| fs::write(folder.path().join(name), "{").unwrap();
        for name in [
            ".spec.json.2",
            ".heartbeat.1",
            ".spec.json.3",
            ".heartbeat.3",
            "heartbeat",
        ] {
            write(name);
        }
        fs::create_dir_all(folder.path().join("checkpoints/10-2.77.partial")).unwrap();
        fs::create_dir_all(folder.path().join("checkpoints/10-2")).unwrap();
        directory.remove_staged(Lease(2));
        directory.remove_unfinished();
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [".heartbeat.3", ".spec.json.3", "checkpoints", "heartbeat"]
        );
        assert!(folder.path().join("checkpoints/10-2").is_dir());
        assert!(!folder.path().join("checkpoints/10-2.77.partial").exists());
    }

    #[test]
    fn a_request_replaces_the_one_before_and_can_be_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let directory = RunDirectory::new(folder.path().join("tr_1"));
        directory.create().unwrap();
        directory.clear_control().unwrap();
        for request in [Request::Pause, Request::Stop] {
            let control = Control {
                lease: Lease(3),
                request,
            };
            directory.write_control(&control).unwrap();
            let read: Control =
                serde_json::from_slice(&fs::read(directory.path().join("control")).unwrap())
                    .unwrap();
            assert_eq!(read, control);
        }
        directory.clear_control().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
