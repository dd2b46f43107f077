//! Starting the trainer.

use super::{ProcessIdentity, ProcessWatch, RunDirectory};
use rustix::process::{Resource, Rlimit, nice, setrlimit, setsid};
use std::{
    fs::OpenOptions,
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
};
use tracing::warn;
use trainmaster_domain::Lease;

/// What of the daemon's environment a trainer gets; anything else stays here, secrets above all: but for the hub's token, which a
/// run that fetches from the hub needs.
const ENVIRONMENT: [&str; 21] = [
    "PATH",
    "HOME",
    "LANG",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "LIBTORCH",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "HF_ENDPOINT",
    "HF_TOKEN",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
const ENVIRONMENT_PREFIXES: [&str; 6] = ["LC_", "CUDA_", "NVIDIA_", "OMP_", "KMP_", "MKL_"];

/// How trainers are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchOptions {
    /// The trainer's program. Default: `trainmaster-trainer` beside the daemon's own.
    pub program: PathBuf,
    /// Added to the daemon's nice level: 0 to 19. Default 5.
    pub nice: i32,
    /// Threads for computing. Default: as many as the machine has.
    pub cpu_threads: usize,
    /// The most memory a run may have; none: no limit. Set as RLIMIT_DATA (private writable memory), because libtorch reserves far
    /// more addresses (RLIMIT_AS) than it uses. Not set for a run on a GPU, whose driver maps the GPU's memory.
    pub memory_limit_bytes: Option<u64>,
    /// Added to the kernel's score of whom to end first when memory is short: 0 to 1000. Default 500: rather the run than the
    /// daemon or Postgres.
    pub oom_score_adj: i32,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        let beside = std::env::current_exe()
            .ok()
            .and_then(|own| Some(own.parent()?.join("trainmaster-trainer")))
            .unwrap_or_else(|| PathBuf::from("trainmaster-trainer"));
        Self {
            program: beside,
            nice: 5,
            cpu_threads: std::thread::available_parallelism().map_or(1, usize::from),
            memory_limit_bytes: None,
            oom_score_adj: 500,
        }
    }
}

/// A trainer to be started.
pub struct Launch<'a> {
    /// How.
    pub options: &'a LaunchOptions,
    /// From which directory; its `spec.json` is written.
    pub directory: &'a RunDirectory,
    /// Under which lease.
    pub lease: Lease,
    /// On which device.
    pub device: &'a str,
}

impl Launch<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// Why it cannot be started.
    pub fn start(&self) -> io::Result<ProcessWatch> {
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.log())?;
        let mut command = Command::new(&self.options.program);
        command
            .arg("run")
            .arg(self.directory.path())
            .arg("--lease")
            .arg(self.lease.to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| {
                name.to_str().is_some_and(|name| {
                    ENVIRONMENT.contains(&name)
                        || ENVIRONMENT_PREFIXES
                            .iter()
                            .any(|prefix| name.starts_with(prefix))
                })
            }))
            .env("OMP_NUM_THREADS", self.options.cpu_threads.to_string());
        let niceness = self.options.nice;
        let data = self
            .options
            .memory_limit_bytes
            .filter(|_| !self.device.starts_with("cuda"));
        // SAFETY: between fork and exec only system calls are made, which neither allocate nor take locks.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                if niceness != 0 {
                    nice(niceness)?;
                }
                if let Some(limit) = data {
                    setrlimit(
                        Resource::Data,
                        Rlimit {
                            current: Some(limit),
                            maximum: Some(limit),
                        },
                    )?;
                }
                Ok(())
            });
        }
        let child = command.spawn()?;
        let pid = child.id().cast_signed();
        let adjusted = std::fs::write(
            format!("/proc/{pid}/oom_score_adj"),
            self.options.oom_score_adj.to_string(),
        );
        if let Err(error) = adjusted {
            warn!(pid, %error, "the kernel's out-of-memory score of a run cannot be set");
        }
        // A child that has ended already is a zombie until it is waited for, so its id cannot be another's.
        let identity = ProcessIdentity::of(pid)?.unwrap_or(ProcessIdentity {
            pid,
            started: String::new(),
        });
        Ok(ProcessWatch::of_child(child, identity))
    }
}
