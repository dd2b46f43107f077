//! Knowing when a run's process has ended, whether it is the daemon's child or was started by another daemon.

use super::ProcessIdentity;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::{
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::Child,
    time::Duration,
};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::{debug, warn};
use trainmaster_domain::attempt::LossReason;

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It is not known: it was no child of this daemon.
    Unknown,
    /// As whoever executed it says.
    Job(LossReason, String),
}

impl Exit {
    /// Whether the kernel or somebody ended it outright.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        *self == Self::Signal(9)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it exited with status {status}"),
            Self::Signal(signal) => write!(f, "it was ended by signal {signal}"),
            Self::Unknown => write!(f, "it is gone"),
            Self::Job(_, message) => f.write_str(message),
        }
    }
}

/// Watches a process.
pub struct ProcessWatch {
    identity: ProcessIdentity,
    /// None where the kernel has no such thing; then the process is looked at now and then.
    pidfd: Option<AsyncFd<OwnedFd>>,
    child: Option<Child>,
    exit: Option<Exit>,
}

impl ProcessWatch {
    /// Watches a child.
    #[must_use]
    pub fn of_child(child: Child, identity: ProcessIdentity) -> Self {
        Self {
            pidfd: open(identity.pid),
            identity,
            child: Some(child),
            exit: None,
        }
    }

    /// Watches a process that another daemon started; none when it has ended.
    #[must_use]
    pub fn adopt(identity: ProcessIdentity) -> Option<Self> {
        // Opened before it is asked whether the process is still the one that was meant, so that it cannot become another
        // in between.
        let pidfd = open(identity.pid);
        identity.is_alive().then_some(Self {
            pidfd,
            identity,
            child: None,
            exit: None,
        })
    }

    /// The process.
    #[must_use]
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Waits for its end. May be called again, and dropped while it waits.
    pub async fn exited(&mut self) -> Exit {
        if let Some(exit) = &self.exit {
            return exit.clone();
        }
        if let Some(pidfd) = &self.pidfd
            && let Err(error) = pidfd.ready(Interest::READABLE).await
        {
            warn!(pid = self.identity.pid, %error, "a run's process cannot be watched");
            self.pidfd = None;
        }
        loop {
            if let Some(exit) = self.reap() {
                self.exit = Some(exit.clone());
                return exit;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn reap(&mut self) -> Option<Exit> {
        match &mut self.child {
            Some(child) => match child.try_wait() {
                Ok(Some(status)) => Some(match (status.code(), status.signal()) {
                    (Some(code), _) => Exit::Status(code),
                    (None, Some(signal)) => Exit::Signal(signal),
                    (None, None) => Exit::Unknown,
                }),
                Ok(None) => None,
                Err(error) => {
                    debug!(pid = self.identity.pid, %error, "a child cannot be waited for");
                    self.child = None;
                    None
                }
            },
            None => (!self.identity.is_alive()).then_some(Exit::Unknown),
        }
    }

    /// Ends it and whatever it started, outright. Does nothing when it has ended.
    pub fn kill(&self) {
        if self.exit.is_some() || !self.identity.is_alive() {
            return;
        }
        let Some(group) = Pid::from_raw(self.identity.pid) else {
            return;
        };
        if let Err(error) = kill_process_group(group, Signal::KILL) {
            warn!(pid = self.identity.pid, %error, "a run's process group cannot be ended");
        }
    }
}

fn open(pid: i32) -> Option<AsyncFd<OwnedFd>> {
    let opened = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK)
        .map_err(std::io::Error::from)
        .and_then(|fd| {
            // SAFETY: an OwnedFd is open and stays the same until it is dropped, which the AsyncFd that owns it does.
            let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
            Ok(registered?)
        });
    match opened {
        Ok(fd) => Some(fd),
        Err(error) => {
            debug!(pid, %error, "no pidfd: the process is looked at now and then");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::process::CommandExt, process::Command};

    fn sleeper() -> (Child, ProcessIdentity) {
        let child = Command::new("sleep")
            .arg("60")
            .process_group(0)
            .spawn()
            .unwrap();
        let identity = ProcessIdentity::of(child.id().cast_signed())
            .unwrap()
            .unwrap();
        (child, identity)
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_noticed_with_its_status() {
        let child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        let identity = ProcessIdentity {
            pid: child.id().cast_signed(),
            started: String::new(),
        };
        let mut watch = ProcessWatch::of_child(child, identity);
        assert_eq!(watch.exited().await, Exit::Status(3));
        assert_eq!(watch.exited().await, Exit::Status(3));
    }

    #[tokio::test]
    async fn a_process_that_is_ended_was_killed() {
        let (child, identity) = sleeper();
        let mut watch = ProcessWatch::of_child(child, identity);
        watch.kill();
        assert!(watch.exited().await.was_killed());
    }

    #[tokio::test]
    async fn the_end_of_a_process_that_is_no_child_is_noticed() {
        let (mut child, identity) = sleeper();
        let mut watch = ProcessWatch::adopt(identity.clone()).unwrap();
        let waiting = tokio::spawn(async move { watch.exited().await });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(waiting.await.unwrap(), Exit::Unknown);
        assert!(ProcessWatch::adopt(identity).is_none());
    }
}
