//! The daemon's plug is pulled before, during and after sbatch: afterwards SLURM has each job once, and nothing is lost.
//!
//! `TRAINMASTER_SLURM_ROUNDS` and `TRAINMASTER_SLURM_SEED` make a campaign of it: see `tests/README.md`.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    env,
    time::{Duration, Instant},
};
use trainmaster_tests::{
    lab::{Daemon, Steps},
    slurm::{Mischief, SlurmLab},
};

const STEPS: Steps = Steps {
    total: 10,
    checkpoint_every: 10,
    batch: 64,
};
/// Rounds of an ordinary run.
const ROUNDS: u64 = 10;
/// Longer than what the daemon does before it calls sbatch, and after.
const WINDOW_MS: u64 = 600;

/// When the plug is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// At any time from the command on.
    Any,
    /// sbatch has been called, and SLURM has not heard of it.
    BeforeSlurm,
    /// SLURM has the job, and nobody knows its number.
    BeforeAnswer,
    /// sbatch has printed the number, and has not ended.
    BeforeEnd,
}

const MOMENTS: [Moment; 4] = [
    Moment::BeforeSlurm,
    Moment::BeforeAnswer,
    Moment::BeforeEnd,
    Moment::Any,
];

/// SplitMix64: what a round does is decided by its seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    fn milliseconds(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

fn parameter(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a whole number")),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_is_killed_around_sbatch_and_each_job_is_submitted_once() {
    let rounds = parameter("TRAINMASTER_SLURM_ROUNDS").unwrap_or(ROUNDS);
    let seed = parameter("TRAINMASTER_SLURM_SEED").unwrap_or(2026);
    // Whatever SLURM has had, it remembers to the end.
    let Some(mut slurm) = SlurmLab::new(&["MinJobAge=100000"]).await else {
        return;
    };
    slurm.let_stand_in_work(0.1);
    let mut daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let mut met = 0;
    for round in 0..rounds {
        let mut draw = Draw(seed.wrapping_add(round));
        let moment = MOMENTS[(round % MOMENTS.len() as u64) as usize];
        eprintln!(
            "round {round}: {moment:?}, seed {}",
            seed.wrapping_add(round)
        );
        let (id, new_daemon, was_met) =
            interrupted(&slurm, daemon, &furniture, moment, &mut draw).await;
        daemon = new_daemon;
        met += u64::from(was_met);
        slurm
            .lab
            .wait_for_status("trainings", &id, &["completed"])
            .await;
        // A plug that is pulled after the claim and before the intent costs a lease, and nothing more.
        let jobs = slurm.told().await.into_iter().filter(|one| one.run == id);
        assert_eq!(jobs.count(), 1, "{}", slurm.histories(&id).await);
    }
    slurm.assert_each_submitted_once().await;
    assert_eq!(slurm.told().await.len() as u64, rounds);
    let aimed = rounds - rounds / MOMENTS.len() as u64;
    assert!(
        met * 3 >= aimed * 2,
        "only {met} of {aimed} kills met an sbatch"
    );
    slurm.assert_rebuild_equals_live().await;
    drop(daemon);
}

/// Queues a training and pulls the daemon's plug at the moment, once or twice. Answers with the daemon that comes after, and whether sbatch was
/// in that very state.
async fn interrupted(
    slurm: &SlurmLab,
    daemon: Daemon,
    furniture: &(String, String),
    moment: Moment,
    draw: &mut Draw,
) -> (String, Daemon, bool) {
    let window = (WINDOW_MS + draw.below(WINDOW_MS)) as f64 / 1000.0;
    let wrappers = slurm.cluster.wrappers();
    let mischief = match moment {
        Moment::Any => None,
        Moment::BeforeSlurm => Some(Mischief {
            before: window,
            ..Mischief::default()
        }),
        Moment::BeforeAnswer => Some(Mischief {
            between: window,
            ..Mischief::default()
        }),
        Moment::BeforeEnd => Some(Mischief {
            after: window,
            ..Mischief::default()
        }),
    };
    if let Some(mischief) = &mischief {
        wrappers.plan("sbatch", mischief);
    }
    let before = wrappers.calls("sbatch").len();
    let id = slurm.train(furniture, STEPS, &[]);
    if mischief.is_some() {
        let begun = Instant::now();
        while wrappers.calls("sbatch").len() == before {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "nobody calls sbatch: {:#?}",
                slurm.lab.history(&id).await
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(draw.milliseconds(WINDOW_MS / 2)).await;
    } else {
        tokio::time::sleep(draw.milliseconds(WINDOW_MS)).await;
    }
    let is_met = |told: Vec<trainmaster_tests::slurm::Told>| {
        let one = told.into_iter().find(|one| one.run == id);
        one.is_some_and(|one| one.submitted == 0)
    };
    daemon.kill();
    let was_met = mischief.is_some() && is_met(slurm.told().await);
    // Sometimes sbatch has ended when the next daemon looks, sometimes not.
    if draw.below(2) == 0 {
        tokio::time::sleep(draw.milliseconds(2 * WINDOW_MS)).await;
    }
    let mut daemon = slurm.lab.start();
    if draw.below(3) == 0 {
        tokio::time::sleep(draw.milliseconds(WINDOW_MS)).await;
        daemon.kill();
        daemon = slurm.lab.start();
    }
    wrappers.lift("sbatch");
    (id, daemon, was_met)
}
