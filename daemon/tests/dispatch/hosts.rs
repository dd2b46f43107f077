//! Several daemons on one database.

use crate::fixture::{World, options, until};
use rustix::process::Signal;
use std::time::Duration;
use trainmaster_domain::{Category, Event, attempt::LossReason, training::TrainingEvent};

#[tokio::test(flavor = "multi_thread")]
async fn two_daemons_share_the_work_and_none_is_done_twice() {
    let world = World::new().await;
    world.ready_training("tr_0").await;
    for number in 1..8 {
        world
            .queue_training(&format!("tr_{number}"), "m_1", "ds_1")
            .await;
    }
    let another = tempfile::tempdir().unwrap();
    let first = world.daemon();
    let second = world.daemon_with(options(another.path()));
    for number in 0..8 {
        let id = format!("tr_{number}");
        let types = world
            .wait_for(Category::Training, &id, "TrainingCompleted")
            .await;
        assert_eq!(
            types
                .iter()
                .filter(|event| **event == "TrainingClaimed")
                .count(),
            1,
            "{types:?}"
        );
    }
    first.stop().await;
    second.stop().await;
    assert_eq!(
        world
            .scalar::<i64>("SELECT count(DISTINCT state_directory) FROM dispatch.runs WHERE category = 'training'")
            .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_host_that_is_gone_is_superseded_and_what_it_still_says_is_refused() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("ready");
    let daemon = world.mortal_daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingStarted")
        .await;
    // The host hangs: daemon and run alike.
    let zombie: i32 = world
        .scalar("SELECT pid FROM dispatch.runs WHERE id = 'tr_1'")
        .await;
    world.signal(zombie, Signal::STOP);
    daemon.kill();

    let mut options = world.options();
    options.host = "there".to_owned();
    options.supervision.heartbeat_limit = Duration::from_secs(1);
    let daemon = world.daemon_with(options);
    world
        .wait_for_count(Category::Training, "tr_1", "TrainingStarted", 2)
        .await;
    let lost = world
        .events(Category::Training, "tr_1")
        .await
        .into_iter()
        .find_map(|recorded| match recorded.event {
            Event::Training(TrainingEvent::TrainingLeaseExpired(expired)) => Some(expired.reason),
            _ => None,
        });
    assert_eq!(lost, Some(LossReason::NoHeartbeat));

    // It comes back and goes on as if nothing had happened. The stand-in does not look at the lease in its spec.
    world.signal(zombie, Signal::CONT);
    world.release("ready");
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    until("the zombie's reports to be refused", async || {
        world
            .scalar::<i64>("SELECT refused_reports FROM dispatch.runs WHERE id = 'tr_1'")
            .await
            > 0
    })
    .await;
    daemon.stop().await;
    for recorded in world.events(Category::Training, "tr_1").await {
        if let Event::Training(TrainingEvent::MetricsRecorded(metrics)) = recorded.event {
            assert_eq!(metrics.lease.0, 2);
        }
    }
}
