//! Carrying faults out, and lifting them.

use super::{
    arena::Arena,
    fault::{Fault, Kind},
    ledger::Ledger,
    place::Disk,
    queue,
};
use crate::lab::{signal, trainers_below};
use std::time::{Duration, Instant};

/// Longer than a lease: what was frozen so long wakes up superseded.
const PAST_THE_LEASE: Duration = Duration::from_millis(4_500);
/// How far clocks jump.
const JUMPS_MS: [i64; 6] = [
    1_500,
    -1_500,
    3_600_000,
    -3_600_000,
    86_400_000 * 40,
    -86_400_000 * 40,
];

/// Carries a fault out and lifts it. False when there was nothing to break, or no way to break it here.
pub(super) async fn inject(arena: &Arena, fault: Fault, ledger: &Ledger) -> bool {
    tokio::time::sleep(fault.at).await;
    ledger.note(format!("fault: {fault}"));
    let done = carry_out(arena, fault, ledger).await;
    let what = if done { "lifted" } else { "not possible" };
    ledger.note(format!("fault: {} {what}", fault.kind));
    done
}

async fn carry_out(arena: &Arena, fault: Fault, ledger: &Ledger) -> bool {
    let Fault { length, choice, .. } = fault;
    let last = tokio::time::sleep;
    match fault.kind {
        Kind::DaemonKill => {
            arena.keeper.kill();
            last(length).await;
            arena.keeper.release();
        }
        Kind::DaemonEnd => {
            arena.keeper.end(ledger).await;
            last(length).await;
            arena.keeper.release();
        }
        Kind::DaemonFreeze => match arena.keeper.pid() {
            Some(pid) => freeze(pid, length, choice).await,
            None => return false,
        },
        Kind::TrainerKill => match trainer(arena, choice).await {
            Some(pid) => signal(pid, "KILL"),
            None => return false,
        },
        Kind::TrainerFreeze => match trainer(arena, choice).await {
            Some(pid) => freeze(pid, length, choice).await,
            None => return false,
        },
        Kind::PostgresStop => {
            // Another fault may have stopped it.
            if !arena.lab.cluster().is_running() {
                return false;
            }
            arena.lab.cluster().stop();
            last(length).await;
            // What waits for it goes by a clock that may be wrong, or finds the disk full.
            arena.lab.cluster().begin_to_boot();
        }
        Kind::ConnectionCut => {
            let before = arena.proxy.cuts();
            let bytes = usize::try_from(choice % 40_000).unwrap_or_default();
            arena.proxy.cut_after(bytes, choice & (1 << 40) != 0);
            last(length.max(Duration::from_millis(500))).await;
            return arena.proxy.cuts() > before;
        }
        Kind::ConnectionStall => {
            arena.proxy.stall(true);
            last(length).await;
            arena.proxy.stall(false);
        }
        Kind::ConnectionDelay => {
            arena.proxy.delay(Duration::from_millis(5 + choice % 60));
            last(length).await;
            arena.proxy.delay(Duration::ZERO);
        }
        Kind::StateFull => match (arena.place.fill(Disk::State), &arena.programs) {
            (Some(_undo), _) => last(length).await,
            (None, Some(programs)) => {
                programs.disk_is_full(true);
                last(length).await;
                programs.disk_is_full(false);
            }
            (None, None) => return false,
        },
        Kind::PostgresFull => match (arena.place.fill(Disk::Postgres), &arena.postgres) {
            (Some(_undo), _) => last(length).await,
            (None, Some(postgres)) => {
                postgres.disk_is_full(true);
                last(length).await;
                postgres.disk_is_full(false);
            }
            (None, None) => return false,
        },
        Kind::ReadOnly => {
            let folder = if choice & 1 == 0 { "runs" } else { "datasets" };
            match arena.place.protect(&arena.lab.state().join(folder)) {
                Some(_undo) => last(length).await,
                None => return false,
            }
        }
        Kind::Clock | Kind::PostgresClock => {
            let control = match fault.kind {
                Kind::Clock => &arena.programs,
                _ => &arena.postgres,
            };
            let Some(control) = control else { return false };
            let jumps = u64::try_from(JUMPS_MS.len()).unwrap_or(1);
            let mut jump = JUMPS_MS[usize::try_from(choice % jumps).unwrap_or_default()];
            // A back-off that it sets while it is ahead is believed up to a day: nobody here waits for an hour.
            if fault.kind == Kind::PostgresClock && jump == 3_600_000 {
                jump = -jump;
            }
            ledger.note(format!("fault: {} by {jump} ms", fault.kind));
            control.clock(jump);
            last(length).await;
            control.clock(0);
        }
        Kind::QueueRepeat | Kind::QueueReorder | Kind::QueueLoss | Kind::QueueGarbage => {
            return queue::tamper(arena.lab.pool(), fault.kind, length, choice).await;
        }
        Kind::SlowSync => {
            let delay = Duration::from_millis(5 + choice % 150);
            let controls = || arena.programs.iter().chain(&arena.postgres);
            if controls().next().is_none() {
                return false;
            }
            controls().for_each(|control| control.slow_sync(delay));
            last(length).await;
            controls().for_each(|control| control.slow_sync(Duration::ZERO));
        }
    }
    true
}

/// Stops a process in its tracks and lets it go on; every other one late.
async fn freeze(pid: u32, length: Duration, choice: u64) {
    signal(pid, "STOP");
    let is_late = choice & (1 << 41) != 0;
    tokio::time::sleep(if is_late { PAST_THE_LEASE } else { length }).await;
    signal(pid, "CONT");
}

/// One of the trainers that live; waits a while for one.
async fn trainer(arena: &Arena, choice: u64) -> Option<u32> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        let trainers = trainers_below(&arena.lab.state().join("runs"));
        let count = u64::try_from(trainers.len()).unwrap_or_default();
        if count > 0 {
            // Wherever it is in its work.
            tokio::time::sleep(Duration::from_millis(choice % 300)).await;
            return trainers
                .get(usize::try_from(choice % count).unwrap_or_default())
                .copied();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}

/// Lifts whatever is left of all faults.
pub(super) async fn lift_all(arena: &Arena) {
    arena.proxy.heal();
    for control in arena.programs.iter().chain(&arena.postgres) {
        control.slow_sync(Duration::ZERO);
        control.clock(0);
        control.disk_is_full(false);
    }
    // A full disk may have ended it.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        if !arena.lab.cluster().is_running() {
            arena.lab.cluster().begin_to_boot();
        }
        let is_up = sqlx::query("SELECT 1").execute(arena.lab.pool()).await;
        if is_up.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
