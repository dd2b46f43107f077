//! A running daemon.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// A running `trainmaster serve`. Killed with its trainers when dropped.
pub struct Daemon {
    child: Child,
    state: PathBuf,
}

impl Daemon {
    /// # Panics
    /// When it is not ready within 30 s; the message shows its log.
    pub(super) fn start(mut command: Command, state: &Path) -> Self {
        let log = state.join("daemon.log");
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the daemon's log");
        let child = command
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the daemon's log"))
            .stderr(file)
            .spawn()
            .expect("the daemon starts");
        let mut daemon = Self {
            child,
            state: state.to_owned(),
        };
        let begun = Instant::now();
        while !daemon.is_ready() {
            if let Some(status) = daemon.child.try_wait().expect("the daemon's status") {
                panic!("the daemon ended ({status}): {}", daemon.log());
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "the daemon is not ready: {}",
                daemon.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        daemon
    }

    fn is_ready(&self) -> bool {
        use std::io::{Read as _, Write as _};
        let Ok(mut socket) =
            std::os::unix::net::UnixStream::connect(self.state.join("run/trainmaster.sock"))
        else {
            return false;
        };
        let mut answer = String::new();
        let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
        socket
            .write_all(b"GET /health/ready HTTP/1.1\r\nhost: lab\r\nconnection: close\r\n\r\n")
            .is_ok()
            && socket.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.1 200")
    }

    /// What it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.state.join("daemon.log")).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Pulls its plug. Its runs go on.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits for it. Its runs go on.
    ///
    /// # Panics
    /// When it does not within 30 s.
    pub fn stop(mut self) -> ExitStatus {
        super::processes::signal(self.pid(), "TERM");
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the daemon's status") {
                return status;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "the daemon does not end: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
