//! What the daemon costs while nothing happens: time from exec to ready on an existing database, resident memory, processor time and wake-ups
//! over a minute. The database is a server of its own, so the figures are the daemon's alone.
//!
//! Limits: 300 ms, 40 MB, 0.2 % of a core.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};
use trainmaster_tests::postgres::Cluster;

const READY_LIMIT_MS: f64 = 300.0;
const MEMORY_LIMIT_MB: f64 = 40.0;
const CPU_LIMIT_PERCENT: f64 = 0.2;
/// Starts that are timed, after one that migrates.
const STARTS: usize = 11;
/// From ready to the beginning of the minute: what starting left to do is done by then.
const SETTLE: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let program = program();
    let cluster = Cluster::start_with(&["fsync=on"]);
    let database = cluster.database().await;
    let place = tempfile::tempdir().expect("no temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711))
        .expect("cannot open the directory");

    Daemon::start(&program, place.path(), database.url()).stop();
    let mut starts: Vec<f64> = (0..STARTS)
        .map(|_| {
            let daemon = Daemon::start(&program, place.path(), database.url());
            let took = daemon.ready_after.as_secs_f64() * 1000.0;
            daemon.stop();
            took
        })
        .collect();
    starts.sort_by(f64::total_cmp);
    let (median, slowest) = (starts[STARTS / 2], starts[STARTS - 1]);

    let daemon = Daemon::start(&program, place.path(), database.url());
    std::thread::sleep(SETTLE);
    let before = Usage::of(daemon.child.id());
    let start = Instant::now();
    std::thread::sleep(MINUTE);
    let after = Usage::of(daemon.child.id());
    let seconds = start.elapsed().as_secs_f64();
    daemon.stop();

    let cpu = (after.cpu_seconds - before.cpu_seconds) / seconds * 100.0;
    let wake_ups = (after.switches - before.switches) as f64 / seconds;
    println!(
        "{:<34} {:>10} {:>8} {:>7}",
        "", "measured", "limit", "ratio"
    );
    let within = [
        row("exec to ready, median, ms", median, READY_LIMIT_MS),
        row("resident memory, MB", after.resident_mb, MEMORY_LIMIT_MB),
        row("processor, % of a core", cpu, CPU_LIMIT_PERCENT),
    ];
    println!("{:<34} {slowest:>10.2}", "exec to ready, slowest of 11, ms");
    println!(
        "{:<34} {:>10.2}",
        "most resident memory ever, MB", after.peak_mb
    );
    println!("{:<34} {wake_ups:>10.2}", "wake-ups a second");
    println!("{:<34} {:>10}", "threads", after.threads);
    if within.iter().all(|within| *within) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints a figure beside its limit; answers whether it is within.
fn row(name: &str, measured: f64, limit: f64) -> bool {
    println!(
        "{name:<34} {measured:>10.2} {limit:>8} {:>7.2}",
        measured / limit
    );
    measured <= limit
}

/// The argument, else the release build beside this program.
fn program() -> PathBuf {
    let beside = || {
        std::env::current_exe()
            .ok()
            .map(|own| own.with_file_name("trainmaster"))
    };
    let program = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .or_else(beside)
        .expect("no program");
    assert!(
        program.is_file(),
        "{} is not there: cargo build --release -p trainmaster",
        program.display()
    );
    program
}

struct Daemon {
    child: Child,
    ready_after: Duration,
}

impl Daemon {
    fn start(program: &Path, place: &Path, url: &str) -> Self {
        let socket = place.join("notify");
        if let Err(error) = fs::remove_file(&socket) {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
        let notify = UnixDatagram::bind(&socket).expect("cannot listen");
        notify
            .set_read_timeout(Some(Duration::from_secs(60)))
            .expect("cannot set a time-out");
        let start = Instant::now();
        let child = Command::new(program)
            .args(["serve", "--state-dir"])
            .arg(place.join("state"))
            .env("NOTIFY_SOCKET", &socket)
            .env("TRAINMASTER_CONFIG", "")
            .env("TRAINMASTER_DATABASE__URL", url)
            .env("TRAINMASTER_LOG__LEVEL", "warn")
            .stdin(Stdio::null())
            .spawn()
            .expect("cannot start the daemon");
        let mut buffer = [0; 1024];
        loop {
            let length = notify
                .recv(&mut buffer)
                .expect("the daemon did not get ready");
            if buffer[..length].starts_with(b"READY=1") {
                break;
            }
        }
        Self {
            child,
            ready_after: start.elapsed(),
        }
    }

    fn stop(mut self) {
        let pid = self.child.id().to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("cannot signal the daemon");
        assert!(
            self.child
                .wait()
                .expect("cannot wait for the daemon")
                .success(),
            "the daemon did not end well"
        );
    }
}

/// What a process has used so far.
struct Usage {
    cpu_seconds: f64,
    resident_mb: f64,
    peak_mb: f64,
    switches: u64,
    threads: usize,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let status = fs::read_to_string(process.join("status")).expect("the daemon is gone");
        let field = |text: &str, name: &str| -> u64 {
            let line = text
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            line.split_whitespace()
                .nth(1)
                .and_then(|value| value.parse().ok())
                .unwrap_or_default()
        };
        let tasks: Vec<String> = fs::read_dir(process.join("task"))
            .expect("the daemon is gone")
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
            .collect();
        // schedstat counts nanoseconds; stat counts hundredths of a second, of which an idle minute has about ten.
        let on_cpu = |task: &fs::DirEntry| -> u64 {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split_whitespace()
                .next()
                .and_then(|value| value.parse().ok())
                .unwrap_or_default()
        };
        let nanoseconds: u64 = fs::read_dir(process.join("task"))
            .expect("the daemon is gone")
            .flatten()
            .map(|task| on_cpu(&task))
            .sum();
        Self {
            cpu_seconds: nanoseconds as f64 / 1e9,
            resident_mb: field(&status, "VmRSS:") as f64 * 1024.0 / 1e6,
            peak_mb: field(&status, "VmHWM:") as f64 * 1024.0 / 1e6,
            switches: tasks
                .iter()
                .map(|task| field(task, "voluntary_ctxt_switches:"))
                .sum(),
            threads: tasks.len(),
        }
    }
}
