//! The server process: started by this daemon, or adopted from one that was killed.

use super::{
    PostgresError, Stop,
    cluster::Cluster,
    pid_file::{self, PidFile},
};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::{
    fs,
    os::fd::OwnedFd,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    process::Child,
};

/// How often the server's status is looked at while it starts.
const LOOK: Duration = Duration::from_millis(10);

/// A server that accepts connections.
#[derive(Debug)]
pub(super) struct Server {
    pid: u32,
    process: Process,
}

#[derive(Debug)]
enum Process {
    /// Started by this daemon, who must collect its exit status.
    Own(Child),
    /// Started by a daemon that is gone.
    Adopted(AsyncFd<OwnedFd>),
}

impl Server {
    /// Adopts the server that runs, or starts one, and waits until it accepts connections.
    pub async fn start(cluster: &Cluster, within: Duration) -> Result<Self, PostgresError> {
        let limit = Limit {
            start: Instant::now(),
            within,
        };
        if let Some(server) = Self::adopt(cluster, limit).await? {
            return Ok(server);
        }
        loop {
            pid_file::remove_stale(&cluster.directory, &cluster.socket_directory)
                .map_err(PostgresError::io("remove the locks of", &cluster.directory))?;
            match Self::spawn(cluster, limit).await {
                // Backends of a killed postmaster notice within moments that it is gone; until then they hold its memory.
                Err(PostgresError::NotStarted { log, .. })
                    if log.contains("shared memory block") && !limit.is_past() =>
                {
                    tracing::info!(
                        "waiting for the last processes of a killed PostgreSQL server to end"
                    );
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                other => return other,
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns when the process has ended.
    pub async fn ended(&mut self) {
        match &mut self.process {
            Process::Own(child) => {
                if let Err(error) = child.wait().await {
                    tracing::error!(%error, "cannot wait for the embedded Postgres");
                }
            }
            Process::Adopted(process) => {
                // A pidfd becomes readable when its process ends.
                if let Err(error) = process.ready(Interest::READABLE).await {
                    tracing::error!(%error, "cannot wait for the embedded Postgres");
                }
            }
        }
    }

    /// Asks it to stop; nothing happens when it has ended.
    pub fn signal(&self, how: Stop) -> Result<(), PostgresError> {
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        match pid_of(self.pid).map(|pid| kill_process(pid, signal)) {
            Some(Ok(())) | Some(Err(rustix::io::Errno::SRCH)) => Ok(()),
            _ => Err(PostgresError::StillRunning { pid: self.pid }),
        }
    }

    /// The server that a killed daemon left, once it is ready; none when there is none. One that cannot be reached is stopped.
    async fn adopt(cluster: &Cluster, limit: Limit) -> Result<Option<Self>, PostgresError> {
        let Some(file) =
            PidFile::read(&cluster.directory).filter(|file| file.is_alive(&cluster.directory))
        else {
            return Ok(None);
        };
        let Some(process) = watch(file.pid) else {
            return Ok(None);
        };
        let mut server = Self {
            pid: file.pid,
            process: Process::Adopted(process),
        };
        loop {
            let file = PidFile::read(&cluster.directory);
            match &file {
                Some(file) if file.pid == server.pid && file.is_ready() => {
                    if file.socket_directory.as_ref() == Some(&cluster.socket_directory)
                        && cluster.socket_directory.exists()
                    {
                        tracing::info!(pid = server.pid, "adopted the running PostgreSQL server");
                        // The configuration may be newer than the server.
                        let _ = pid_of(server.pid).map(|pid| kill_process(pid, Signal::HUP));
                        return Ok(Some(server));
                    }
                    tracing::warn!(
                        pid = server.pid,
                        "the running PostgreSQL server has its socket elsewhere and is restarted"
                    );
                    server.signal(Stop::Fast)?;
                    server.ended_by(cluster, limit).await?;
                    return Ok(None);
                }
                Some(file) if file.pid == server.pid && file.status == "stopping" => {
                    server.ended_by(cluster, limit).await?;
                    return Ok(None);
                }
                _ if limit.is_past() => return Err(not_ready(cluster, limit, &file)),
                _ => {}
            }
            tokio::select! {
                () = server.ended() => return Ok(None),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn ended_by(&mut self, cluster: &Cluster, limit: Limit) -> Result<(), PostgresError> {
        tokio::time::timeout(limit.left(), self.ended())
            .await
            .map_err(|_| not_ready(cluster, limit, &PidFile::read(&cluster.directory)))
    }

    async fn spawn(cluster: &Cluster, limit: Limit) -> Result<Self, PostgresError> {
        let log = cluster.startup_log();
        let stderr = fs::File::create(&log)
            .and_then(|file| cluster.give(&log).map(|()| file))
            .map_err(PostgresError::io("write", &log))?;
        let mut command = cluster.command("postgres");
        command
            .arg("-D")
            .arg(&cluster.directory)
            .stdout(Stdio::null())
            .stderr(stderr);
        let program = cluster.binaries.program("postgres");
        let mut child = command.spawn().map_err(|error| PostgresError::Program {
            program,
            reason: error.to_string(),
        })?;
        let pid = child.id().unwrap_or_default();
        let mut unfinished = Unfinished(Some(pid));
        let mut told = Instant::now();
        loop {
            let file = PidFile::read(&cluster.directory).filter(|file| file.pid == pid);
            if file.as_ref().is_some_and(PidFile::is_ready) {
                unfinished.0 = None;
                return Ok(Self {
                    pid,
                    process: Process::Own(child),
                });
            }
            if limit.is_past() {
                let error = not_ready(cluster, limit, &file);
                if let Some(pid) = pid_of(pid) {
                    let _ = kill_process(pid, Signal::QUIT);
                }
                let _ = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
                return Err(error);
            }
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                tracing::info!(
                    "the embedded Postgres is still starting; after a crash it recovers first"
                );
            }
            tokio::select! {
                _ = child.wait() => {
                    unfinished.0 = None;
                    return Err(PostgresError::NotStarted {
                        log: last_words(cluster),
                        directory: cluster.logs(),
                    });
                }
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

/// A server that is starting; whoever stops waiting for it stops it.
struct Unfinished(Option<u32>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(pid_of) {
            let _ = kill_process(pid, Signal::INT);
        }
    }
}

/// How long starting may take.
#[derive(Clone, Copy)]
struct Limit {
    start: Instant,
    within: Duration,
}

impl Limit {
    fn left(self) -> Duration {
        self.within.saturating_sub(self.start.elapsed())
    }

    fn is_past(self) -> bool {
        self.left().is_zero()
    }
}

fn pid_of(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

/// Something to wait on for the end of a process that is not this one's child; none when it has ended.
fn watch(pid: u32) -> Option<AsyncFd<OwnedFd>> {
    let pid = pid_of(pid)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // SAFETY: an `OwnedFd` is the only owner of its descriptor, which stays open until it is dropped.
    unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) }.ok()
}

fn not_ready(cluster: &Cluster, limit: Limit, file: &Option<PidFile>) -> PostgresError {
    let status = file
        .as_ref()
        .map(|file| file.status.as_str())
        .filter(|status| !status.is_empty());
    PostgresError::NotReady {
        within: limit.within,
        state: status.unwrap_or("starting").to_owned(),
        directory: cluster.logs(),
    }
}

/// The last complaints of the server, on one line.
fn last_words(cluster: &Cluster) -> String {
    let newest = fs::read_dir(cluster.logs())
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .max();
    let complaints = |path: &Path| -> Vec<String> {
        let text = fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        text.lines()
            .rev()
            .take(50)
            .filter_map(|line| {
                let start = ["FATAL:", "PANIC:", "ERROR:"]
                    .iter()
                    .find_map(|level| line.find(level))?;
                Some(line[start..].to_owned())
            })
            .take(3)
            .collect()
    };
    let mut words = complaints(&cluster.startup_log());
    if words.is_empty() {
        words = newest
            .map(|(_, path)| complaints(&path))
            .unwrap_or_default();
    }
    words.reverse();
    if words.is_empty() {
        "it ended without a word".to_owned()
    } else {
        words.join("; ")
    }
}
