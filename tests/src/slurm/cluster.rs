//! A cluster: its daemons and its directory, gone with the value or with the process, however that ends.

use super::{Job, Wrappers};
use std::{
    env,
    ffi::OsStr,
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Four nodes, `n1` to `n4`, of four cores each, which they do not have; a partition `main`, and one that preempts it, `urgent`. SLURM notices
/// a dead node after half a minute, and a requeued job waits for 6 s.
#[derive(Debug)]
pub struct Cluster {
    directory: PathBuf,
    wrappers: Wrappers,
    /// Tears the cluster down as soon as its standard input ends: when this value is dropped, and also when this process dies of
    /// whatever.
    watcher: Child,
}

impl Cluster {
    /// A running cluster with four idle nodes. None when SLURM is not installed here, which is said.
    ///
    /// # Panics
    /// When it is installed and does not start; the message says what its daemons said.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// The same with settings of `slurm.conf` (`MinJobAge=2`).
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Option<Self> {
        if !is_installed() {
            eprintln!("skipped: there is no SLURM here (Debian: apt install slurm-wlm)");
            return None;
        }
        let directory = tempfile::Builder::new()
            .prefix("slurm")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        let watcher = watch(&directory);
        let output = script("start", &directory)
            .args(settings)
            .stdin(Stdio::null())
            .output()
            .expect("bash can be run");
        let wrappers = Wrappers::make(&directory.join("wrappers"));
        let cluster = Self {
            directory,
            wrappers,
            watcher,
        };
        assert!(
            output.status.success(),
            "no SLURM cluster: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(cluster)
    }

    /// What stands before SLURM's programs: counts of their calls, and mischief.
    #[must_use]
    pub const fn wrappers(&self) -> &Wrappers {
        &self.wrappers
    }

    /// Its `slurm.conf`.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("slurm.conf")
    }

    /// The file to which it appends a line for each job that ends.
    #[must_use]
    pub fn completions(&self) -> PathBuf {
        self.directory.join("jobcomp")
    }

    /// What a program's environment has to say for it to talk to this cluster, by the wrappers.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut folders = vec![self.wrappers.directory().to_owned()];
        folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
        let path = env::join_paths(folders).expect("paths without colons");
        let text = |value: &OsStr| value.to_string_lossy().into_owned();
        vec![
            ("SLURM_CONF".to_owned(), text(self.configuration().as_ref())),
            ("PATH".to_owned(), text(&path)),
        ]
    }

    /// A command of SLURM's own, as a person would give it: past the wrappers.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn try_run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program)
            .env("SLURM_CONF", self.configuration())
            .current_dir(&self.directory)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// The same; answers what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.try_run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Every job and task of an array that the controller knows, those that ended in the last `MinJobAge` seconds among them.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn jobs(&self) -> Vec<Job> {
        Job::parse(&self.run("squeue", &Job::ARGUMENTS))
    }

    /// Waits until the jobs are as wanted, and answers with them.
    ///
    /// # Panics
    /// After two minutes, with the jobs as they are.
    pub fn wait_for_jobs(&self, wanted: &str, are_so: impl Fn(&[Job]) -> bool) -> Vec<Job> {
        let begun = Instant::now();
        loop {
            let jobs = self.jobs();
            if are_so(&jobs) {
                return jobs;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "not {wanted}: {jobs:#?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Pulls the plug of a node: its daemon and whatever its jobs have started are killed.
    ///
    /// # Panics
    /// When it cannot.
    pub fn kill_node(&self, name: &str) {
        self.act("kill-node", &[name]);
    }

    /// Has the controller notice at once that a node is gone, which would take it half a minute: its jobs are requeued, or fail.
    ///
    /// # Panics
    /// When it refuses.
    pub fn declare_down(&self, name: &str) {
        let node = format!("nodename={name}");
        self.run("scontrol", &["update", &node, "state=down", "reason=test"]);
    }

    /// Starts a node's daemon again; the controller takes it back by itself.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_node(&self, name: &str) {
        self.act("start-node", &[name]);
    }

    /// Ends the controller in good order. Jobs go on meanwhile.
    ///
    /// # Panics
    /// When it cannot.
    pub fn stop_controller(&self) {
        self.act("stop-controller", &[]);
    }

    /// Pulls the controller's plug. It forgets what happened in the last five seconds: jobs that it has accepted, and ends of jobs; numbers of the
    /// forgotten are given out again.
    ///
    /// # Panics
    /// When it cannot.
    pub fn kill_controller(&self) {
        self.act("kill-controller", &[]);
    }

    /// Starts the controller again, with the jobs that it had.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_controller(&self) {
        self.act("start-controller", &[]);
    }

    fn act(&self, action: &str, arguments: &[&str]) {
        let output = script(action, &self.directory)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("bash can be run");
        assert!(
            output.status.success(),
            "{action} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().ok();
    }
}

/// Debian has the daemons where an ordinary user's `PATH` does not look.
fn is_installed() -> bool {
    let mut folders: Vec<PathBuf> =
        env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    folders.push(PathBuf::from("/usr/sbin"));
    ["slurmctld", "slurmd", "sbatch"]
        .iter()
        .all(|program| folders.iter().any(|folder| folder.join(program).exists()))
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/slurm/private-cluster")
}

fn script(action: &str, directory: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg(action).arg(directory);
    command
}

/// In a process group of its own, so that an interrupt from the terminal does not take it down with the tests.
fn watch(directory: &Path) -> Child {
    const SCRIPT: &str = r#"read -r _; "$1" stop "$2"; rm -rf "$2""#;
    fs::create_dir_all(directory).expect("a temporary directory");
    Command::new("sh")
        .args(["-c", SCRIPT, "watcher"])
        .arg(program())
        .arg(directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cannot start sh")
}
