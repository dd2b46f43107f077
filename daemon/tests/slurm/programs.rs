//! Stand-ins for SLURM's programs.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::TempDir;
use trainmaster::{
    config::{ClusterSettings, Seconds, SlurmSettings},
    slurm::Cluster,
};

/// A directory of programs: each notes how it was called, and answers with what a file says.
pub struct Programs {
    folder: TempDir,
}

impl Programs {
    pub fn new() -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        made.answer("squeue", "");
        made.answer(
            "scontrol",
            "AccountingStorageType = accounting_storage/none\n",
        );
        made
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, program: &str, script: &str) {
        // Written beside and renamed: a program that runs is not written to.
        let beside = self.path().join(format!(".{program}"));
        fs::write(&beside, script).unwrap();
        fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(beside, self.path().join(program)).unwrap();
    }

    fn script(body: &str) -> String {
        format!("#!/bin/sh\necho x >>\"$0.calls\"\n{body}")
    }

    /// The program prints this from now on.
    pub fn answer(&self, program: &str, text: &str) {
        let printed = self.path().join(format!("{program}.answer"));
        let beside = printed.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(beside, printed).unwrap();
        self.write(program, &Self::script("exec cat \"$0.answer\"\n"));
    }

    /// The program runs this from now on.
    pub fn run(&self, program: &str, body: &str) {
        self.write(program, &Self::script(body));
    }

    /// The program complains so from now on, and fails.
    pub fn fail(&self, program: &str, complaint: &str) {
        self.run(program, &format!("echo '{complaint}' >&2\nexit 1\n"));
    }

    pub fn calls(&self, program: &str) -> usize {
        let calls = self.path().join(format!("{program}.calls"));
        fs::read_to_string(calls)
            .unwrap_or_default()
            .lines()
            .count()
    }

    pub fn cluster(&self) -> Arc<Cluster> {
        self.cluster_that_may_take(Seconds::new(30), None)
    }

    pub fn cluster_that_may_take(
        &self,
        limit: Seconds,
        completion_file: Option<PathBuf>,
    ) -> Arc<Cluster> {
        let settings = ClusterSettings {
            programs: Some(self.path().to_owned()),
            completion_file,
            ..ClusterSettings::default()
        };
        let slurm = SlurmSettings {
            call_timeout_seconds: limit,
            ..SlurmSettings::default()
        };
        let path = |name: &str| (name == "PATH").then(|| OsString::from("/usr/bin:/bin"));
        let trainer = Path::new("/usr/bin/trainmaster-trainer");
        Arc::new(Cluster::new("campus", &settings, &slurm, trainer, path))
    }
}

/// A line of `squeue`.
pub fn line(id: u64, state: &str, submission: &str) -> String {
    let ended = match state {
        "PENDING" | "RUNNING" => "N/A",
        _ => "1795185060",
    };
    let columns = [
        &id.to_string(),
        &id.to_string(),
        "N/A",
        state,
        "0",
        "1795185048",
        ended,
        "0",
        "None",
        "/tmp",
        &format!("trainmaster:{submission}"),
    ];
    columns.join("\u{1f}") + "\n"
}
