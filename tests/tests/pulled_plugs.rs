//! The plug is pulled at random points, seeded so that a failure can be seen again.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;
use trainmaster_tests::lab::{Lab, Steps, signal, wait_for_trainer};

const STEPS: Steps = Steps {
    total: 100,
    checkpoint_every: 20,
    batch: 64,
};

/// For kills that should meet the trainer alive.
const LONGER: Steps = Steps {
    total: 400,
    checkpoint_every: 20,
    batch: 128,
};

/// SplitMix64: the same delays in every run of the test.
struct Delays(u64);

impl Delays {
    fn next(&mut self, below_ms: u64) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_millis((z ^ (z >> 31)) % below_ms)
    }
}

#[tokio::test]
async fn the_daemon_is_killed_at_random_points_of_a_job_in_fifty_rounds() {
    let lab = Lab::new().await;
    let mut daemon = lab.start();
    let furniture = lab.furnish().await;
    let mut delays = Delays(2026);
    let mut ids = Vec::new();
    for _ in 0..50 {
        let id = lab.train(&furniture, STEPS);
        tokio::time::sleep(delays.next(1_500)).await;
        daemon.kill();
        daemon = lab.start();
        lab.wait_for_status("trainings", &id, &["completed"]).await;
        lab.assert_completed_once(&id).await;
        ids.push(id);
    }
    assert_eq!(ids.len(), 50);
    lab.assert_rebuild_equals_live().await;
    drop(daemon);
}

#[tokio::test]
async fn the_trainer_is_killed_at_random_points_in_twenty_rounds() {
    let lab = Lab::new().await;
    let _daemon = lab.start();
    let furniture = lab.furnish().await;
    let mut delays = Delays(135);
    let mut losses = 0;
    for _ in 0..20 {
        let id = lab.train(&furniture, LONGER);
        let trainer = wait_for_trainer(&lab.run_directory(&id));
        tokio::time::sleep(delays.next(500)).await;
        signal(trainer, "KILL");
        lab.wait_for_status("trainings", &id, &["completed"]).await;
        lab.assert_completed_once(&id).await;
        losses += lab
            .history(&id)
            .await
            .iter()
            .filter(|e| e.event_type == "TrainingLeaseExpired")
            .count();
    }
    assert!(
        losses >= 5,
        "only {losses} of 20 kills met a living trainer"
    );
    lab.assert_rebuild_equals_live().await;
}
