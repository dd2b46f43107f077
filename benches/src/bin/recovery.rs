//! How long it takes until work goes on after a plug was pulled: the daemon's (its own start, and until the run that went on meanwhile is
//! heard again), its own Postgres' with it, and the trainer's (until the next attempt trains). Kills come at random moments; the next daemon is started at once, so
//! add the service manager's RestartSec (0.5 s in the unit).
//!
//!     recovery [--rounds 20] [--seed 1]
//!
//! Limits: p99 of 5 s until work goes on, of which the daemon's own start 0.5 s.

use sqlx::PgPool;
use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};
use trainmaster_tests::lab::{Lab, Steps, program, signal, wait_for_trainer};

const START_LIMIT: f64 = 0.5;
const GOING_ON_LIMIT: f64 = 5.0;
/// Longer than this is a fault, not a slow recovery.
const PATIENCE: Duration = Duration::from_secs(300);
/// Longer than all rounds take.
const STEPS: Steps = Steps {
    total: 1_000_000,
    checkpoint_every: 20,
    batch: 64,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let rounds = argument("--rounds").unwrap_or(20);
    let mut delays = Delays(argument("--seed").unwrap_or(1));
    println!(
        "{:<58} {:>7} {:>7} {:>7} {:>7}",
        "", "p50", "p90", "p99", "limit"
    );
    let mut kept = true;

    let [alone, with_server] = own_postgres(rounds, &mut delays);
    kept &= told(
        "daemon killed, its Postgres lives: exec to ready",
        alone,
        START_LIMIT,
    );
    kept &= told(
        "both killed: exec to ready, crash recovery included",
        with_server,
        GOING_ON_LIMIT,
    );

    let mut lab = Lab::new().await;
    for (setting, default) in [
        ("RUNNER__HEARTBEAT_INTERVAL_SECONDS", "1"),
        ("RUNNER__HEARTBEAT_TIMEOUT_SECONDS", "30"),
        ("RUNNER__RETRY_DELAY_SECONDS", "1"),
        ("RUNNER__RETRY_DELAY_MAX_SECONDS", "300"),
        ("DISPATCH__POLL_INTERVAL_SECONDS", "5"),
        ("DISPATCH__RECONCILE_INTERVAL_SECONDS", "30"),
    ] {
        lab.set(setting, default);
    }
    let mut daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, STEPS);
    let trained = |since| Event::after(lab.pool(), &id, "MetricsRecorded", since);

    let (mut ready, mut heard) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        trained(Event::last(lab.pool(), &id).await).await;
        tokio::time::sleep(delays.next()).await;
        daemon.kill();
        let before = Event::last(lab.pool(), &id).await;
        let killed = Instant::now();
        daemon = lab.start();
        ready.push(killed.elapsed().as_secs_f64());
        trained(before).await;
        heard.push(killed.elapsed().as_secs_f64());
    }
    kept &= told(
        "daemon killed, Postgres elsewhere: exec to ready",
        ready,
        START_LIMIT,
    );
    kept &= told(
        "until the run that went on is heard again",
        heard,
        GOING_ON_LIMIT,
    );

    let (mut lost, mut begun, mut going_on) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        // Progress that was made durable: back-off begins anew.
        let before = Event::last(lab.pool(), &id).await;
        Event::after(lab.pool(), &id, "CheckpointSaved", before).await;
        tokio::time::sleep(delays.next()).await;
        let before = Event::last(lab.pool(), &id).await;
        let trainer = wait_for_trainer(&lab.run_directory(&id));
        let killed = Instant::now();
        signal(trainer, "KILL");
        let at = Event::after(lab.pool(), &id, "TrainingLeaseExpired", before).await;
        lost.push(killed.elapsed().as_secs_f64());
        let at = Event::after(lab.pool(), &id, "TrainingStarted", at).await;
        begun.push(killed.elapsed().as_secs_f64());
        Event::after(lab.pool(), &id, "MetricsRecorded", at).await;
        going_on.push(killed.elapsed().as_secs_f64());
    }
    kept &= told("trainer killed: until that is known", lost, 1.0);
    kept &= told(
        "until the next attempt has begun (1 s of back-off)",
        begun,
        GOING_ON_LIMIT,
    );
    kept &= told("until it has trained", going_on, GOING_ON_LIMIT);
    drop(daemon);
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The events of a training, as positions in its stream.
struct Event;

impl Event {
    async fn last(pool: &PgPool, id: &str) -> i64 {
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM log.events WHERE stream_id = $1")
            .bind(id)
            .fetch_one(pool)
            .await
            .expect("the log can be read")
    }

    /// Waits for an event of a type behind a version; answers its own.
    async fn after(pool: &PgPool, id: &str, kind: &str, version: i64) -> i64 {
        let begun = Instant::now();
        loop {
            let found: Option<i64> = sqlx::query_scalar(
                "SELECT min(version) FROM log.events WHERE stream_id = $1 AND version > $2 AND type = $3",
            )
            .bind(id)
            .bind(version)
            .bind(kind)
            .fetch_one(pool)
            .await
            .expect("the log can be read");
            if let Some(found) = found {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "no {kind} of {id}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Exec to ready with a Postgres of the daemon's own: after the daemon alone was killed, and after both were.
fn own_postgres(rounds: u64, delays: &mut Delays) -> [Vec<f64>; 2] {
    let place = tempfile::tempdir().expect("a temporary directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711))
        .expect("the directory can be opened");
    let (mut daemon, _) = serve(place.path());
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..2 * rounds {
        std::thread::sleep(delays.next());
        let with_server = round % 2 == 1;
        daemon.kill().expect("the daemon can be killed");
        daemon.wait().expect("the daemon ends");
        if with_server && let Some(postmaster) = postmaster(place.path()) {
            signal(postmaster, "KILL");
        }
        let took;
        (daemon, took) = serve(place.path());
        times[usize::from(with_server)].push(took.as_secs_f64());
    }
    signal(daemon.id(), "TERM");
    daemon.wait().expect("the daemon ends");
    times
}

fn postmaster(place: &Path) -> Option<u32> {
    let file = fs::read_to_string(place.join("state/postgres/postmaster.pid")).ok()?;
    file.lines().next()?.trim().parse().ok()
}

/// Starts a daemon and waits until it says that it is ready.
fn serve(place: &Path) -> (Child, Duration) {
    let socket = place.join("notify");
    let _ = fs::remove_file(&socket);
    let notify = UnixDatagram::bind(&socket).expect("a socket");
    notify
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit");
    let began = Instant::now();
    let mut child = Command::new(program("trainmaster"))
        .args(["serve", "--state-dir"])
        .arg(place.join("state"))
        .env("NOTIFY_SOCKET", &socket)
        .env("TRAINMASTER_CONFIG", "")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the daemon starts");
    let mut said = [0; 512];
    loop {
        match notify.recv(&mut said) {
            Ok(length) if said[..length].starts_with(b"READY=1") => {
                return (child, began.elapsed());
            }
            Ok(_) => {}
            Err(error) => {
                child.kill().expect("the daemon can be killed");
                child.wait().expect("the daemon ends");
                panic!("the daemon does not get ready: {error}");
            }
        }
    }
}

/// Prints a line; false when the limit is not kept.
fn told(what: &str, mut seconds: Vec<f64>, limit: f64) -> bool {
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let rank = (share * seconds.len() as f64).ceil() as usize;
        seconds[rank.clamp(1, seconds.len()) - 1]
    };
    let verdict = if at(0.99) <= limit {
        ""
    } else {
        "  NOT REACHED"
    };
    println!(
        "{what:<58} {:>6.3}s {:>6.3}s {:>6.3}s {limit:>6.1}s{verdict}",
        at(0.5),
        at(0.9),
        at(0.99)
    );
    at(0.99) <= limit
}

fn argument(name: &str) -> Option<u64> {
    let arguments: Vec<String> = std::env::args().collect();
    let at = arguments.iter().position(|argument| argument == name)?;
    arguments.get(at + 1)?.parse().ok()
}

/// SplitMix64: the same moments for the same seed.
struct Delays(u64);

impl Delays {
    /// Up to a second and a half.
    fn next(&mut self) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis((z ^ (z >> 31)) % 1_500)
    }
}
