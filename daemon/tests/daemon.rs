//! The daemon as a program: what it tells the service manager, and how it lives through signals and kills.
#![allow(clippy::unwrap_used, reason = "a test may")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::Read,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use trainmaster_tests::postgres::Cluster;

/// Generous, because machines that run tests are busy; nothing waits for it unless something is wrong.
const LIMIT: Duration = Duration::from_secs(120);

/// A place for daemons: a state directory and a service manager's socket.
struct Scratch {
    root: TempDir,
}

impl Scratch {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        Self { root }
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn start(&self, environment: &[(&str, &str)]) -> Daemon {
        let socket = self.root.path().join("notify");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(LIMIT)).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_trainmaster"))
            .args(["serve", "--state-dir"])
            .arg(self.state())
            .env("NOTIFY_SOCKET", &socket)
            .env("TRAINMASTER_CONFIG", "")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Daemon {
            child,
            notify,
            heard: Vec::new(),
        }
    }

    /// The process id of the embedded Postgres, once it is ready.
    fn postgres(&self) -> Option<i32> {
        let file = fs::read_to_string(self.state().join("postgres/postmaster.pid")).ok()?;
        let mut lines = file.lines();
        let pid = lines.next()?.parse().ok()?;
        (lines.nth(6).map(str::trim) == Some("ready")).then_some(pid)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(pid) = self.postgres() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::QUIT);
        }
    }
}

struct Daemon {
    child: Child,
    notify: UnixDatagram,
    heard: Vec<String>,
}

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The next message to the service manager that holds `text`.
    fn hear(&mut self, text: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let mut buffer = [0; 4096];
            let length = self
                .notify
                .recv(&mut buffer)
                .unwrap_or_else(|_| panic!("never heard {text}: {:?}", self.heard));
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            self.heard.push(message.clone());
            if message.contains(text) {
                return message;
            }
        }
        panic!("never heard {text}: {:?}", self.heard)
    }

    /// How it ended, and what it wrote.
    fn ended(mut self) -> (ExitStatus, String) {
        let mut stderr = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        (self.child.wait().unwrap(), stderr)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{what} never happened")
}

fn is_alive(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok()
}

#[test]
fn it_tells_the_service_manager_what_it_does_and_leaves_nothing_running() {
    let scratch = Scratch::new();
    let mut daemon = scratch.start(&[]);
    daemon.hear("STATUS=starting the embedded Postgres");
    daemon.hear("READY=1");
    let postgres = scratch.postgres().unwrap();
    assert!(
        scratch.state().join("run/trainmaster.sock").exists(),
        "it is ready before it can be talked to"
    );
    daemon.signal(Signal::TERM);
    daemon.hear("STOPPING=1");
    let (status, log) = daemon.ended();
    assert!(status.success(), "{status}: {log}");
    assert!(!is_alive(postgres));
    assert!(!scratch.state().join("postgres/postmaster.pid").exists());
}

#[test]
fn a_second_daemon_on_the_same_state_directory_is_refused() {
    let scratch = Scratch::new();
    let mut first = scratch.start(&[]);
    first.hear("READY=1");
    let second = Command::new(env!("CARGO_BIN_EXE_trainmaster"))
        .args(["serve", "--state-dir"])
        .arg(scratch.state())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains(&format!("another daemon (process {})", first.child.id())),
        "{said}"
    );
    first.signal(Signal::TERM);
    assert!(first.ended().0.success());
}

#[test]
fn the_database_of_a_killed_daemon_is_adopted_by_the_next_and_stopped_with_it() {
    let scratch = Scratch::new();
    let mut first = scratch.start(&[]);
    first.hear("READY=1");
    let postgres = scratch.postgres().unwrap();
    first.signal(Signal::KILL);
    first.ended();
    assert!(is_alive(postgres));
    let mut second = scratch.start(&[]);
    second.hear("READY=1");
    assert_eq!(scratch.postgres(), Some(postgres));
    second.signal(Signal::TERM);
    let (status, log) = second.ended();
    assert!(status.success(), "{status}: {log}");
    until("the adopted server's end", || {
        (!is_alive(postgres)).then_some(())
    });
}

#[test]
fn a_database_that_is_killed_under_the_daemon_comes_back_and_the_daemon_stays() {
    let scratch = Scratch::new();
    let mut daemon = scratch.start(&[("WATCHDOG_USEC", "2000000")]);
    daemon.hear("READY=1");
    let first = scratch.postgres().unwrap();
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    let second = until("a new server", || {
        scratch.postgres().filter(|pid| *pid != first)
    });
    assert!(is_alive(second));
    daemon.heard.clear();
    daemon.hear("WATCHDOG=1");
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.ended();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("is started again"), "{log}");
}

#[tokio::test]
async fn the_watchdog_is_answered_only_while_the_database_answers() {
    let cluster = Cluster::start();
    let database = cluster.database().await;
    let scratch = Scratch::new();
    let mut daemon = scratch.start(&[
        ("TRAINMASTER_DATABASE__URL", database.url()),
        ("WATCHDOG_USEC", "1000000"),
    ]);
    daemon.hear("READY=1");
    daemon.hear("WATCHDOG=1");
    cluster.stop();
    let trouble = daemon.hear("STATUS=");
    assert!(!trouble.contains("WATCHDOG=1"), "{trouble}");
    daemon.heard.clear();
    daemon.hear("STATUS=");
    assert!(
        daemon
            .heard
            .iter()
            .all(|message| !message.contains("WATCHDOG=1")),
        "{:?}",
        daemon.heard
    );
    cluster.boot();
    daemon.hear("WATCHDOG=1");
    daemon.signal(Signal::TERM);
    assert!(daemon.ended().0.success());
}

#[tokio::test]
async fn the_first_signal_waits_for_what_is_in_hand_and_the_second_does_not() {
    let cluster = Cluster::start();
    let database = cluster.database().await;
    let scratch = Scratch::new();
    let mut daemon = scratch.start(&[("TRAINMASTER_DATABASE__URL", database.url())]);
    daemon.hear("READY=1");
    // Handing runs over needs this table.
    let pool = database.pool().await;
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE dispatch.runs IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    daemon.signal(Signal::TERM);
    let waits: i64 = async {
        loop {
            let waits = sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted")
                .fetch_one(&pool)
                .await
                .unwrap();
            if waits > 0 {
                return waits;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    .await;
    assert!(waits > 0);
    assert!(
        daemon.child.try_wait().unwrap().is_none(),
        "it has something in hand"
    );
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("ending at once"), "{log}");
    transaction.rollback().await.unwrap();
}

#[tokio::test]
async fn sighup_reads_the_settings_again() {
    let cluster = Cluster::start();
    let database = cluster.database().await;
    let scratch = Scratch::new();
    let file = scratch.root.path().join("trainmaster.toml");
    fs::write(&file, "[log]\nlevel = \"warn\"\n").unwrap();
    let environment = [
        ("TRAINMASTER_DATABASE__URL", database.url()),
        ("TRAINMASTER_CONFIG", file.to_str().unwrap()),
    ];
    let mut daemon = scratch.start(&environment);
    daemon.hear("READY=1");
    fs::write(&file, "[log]\nlevel = \"info\"\n").unwrap();
    daemon.signal(Signal::HUP);
    let message = daemon.hear("RELOADING=1");
    assert!(message.contains("MONOTONIC_USEC="), "{message}");
    daemon.hear("READY=1");
    daemon.signal(Signal::TERM);
    let (status, log) = daemon.ended();
    assert!(status.success(), "{log}");
    assert!(
        !log.contains("starting settings"),
        "it was to log warnings only: {log}"
    );
    assert!(log.contains("settings were read again"), "{log}");
}

#[test]
fn what_it_cannot_start_without_is_said_in_one_line() {
    let scratch = Scratch::new();
    for (environment, said) in [
        (
            vec![("TRAINMASTER_DATABASE__MAX_CONNECTIONS", "many")],
            "TRAINMASTER_DATABASE__MAX_CONNECTIONS",
        ),
        (
            vec![
                (
                    "TRAINMASTER_DATABASE__URL",
                    "postgres://nobody@127.0.0.1:1/none",
                ),
                ("TRAINMASTER_DATABASE__CONNECT_TIMEOUT_SECONDS", "0"),
            ],
            "cannot connect to the database nobody@127.0.0.1:1/none",
        ),
    ] {
        let (status, log) = scratch.start(&environment).ended();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(said), "{log}");
    }
}
