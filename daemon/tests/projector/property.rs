use crate::fixture::{MISTUDIO, Running, World};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use trainmaster::projector::{Projector, ProjectorError, Rebuilt, TableRows};
use trainmaster_tests::history::{Draw, History};

/// How many histories; `TRAINMASTER_HISTORIES=100` for a longer campaign.
fn histories() -> u64 {
    std::env::var("TRAINMASTER_HISTORIES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_and_rebuilt_are_the_same_at_any_prefix_however_often_the_rebuild_is_killed() {
    for seed in 0..histories() {
        let mut world = World::new().await;
        let directory = tempfile::tempdir().unwrap();
        let mut history = History::with_surroundings(seed, directory.path().to_owned());
        let mut draw = Draw::new(seed);
        let running = Running::start(world.projector(1 + draw.below(80) as usize));
        for prefix in 0..4 {
            let commands = 100 + draw.below(300) as usize;
            let last = world.live(&mut history, commands).await;
            running.reaches(last).await;
            let live = world.rows().await;
            let serials = serials(&world).await;
            for _ in 0..draw.below(4) {
                let slow = world.projector(1 + draw.below(20) as usize);
                let rebuild = tokio::spawn(async move { slow.rebuild(MISTUDIO).await });
                tokio::time::sleep(Duration::from_micros(draw.below(600_000))).await;
                rebuild.abort();
                // It may have been faster.
                let _ = rebuild.await;
                assert!(
                    live == world.rows().await,
                    "history {seed}: killing changed rows"
                );
            }
            let rebuilt = rebuild(&world.projector(1 + draw.below(500) as usize)).await;
            let at = format!("history {seed}, prefix {prefix}, at {last}");
            assert_eq!(
                (rebuilt.position, rebuilt.not_compared),
                (last, None),
                "{at}"
            );
            assert!(
                !rebuilt.tables.iter().any(TableRows::differs),
                "{at}: {:?}",
                rebuilt.tables
            );
            for (live, rebuilt) in live.iter().zip(world.rows().await) {
                assert_eq!(*live, rebuilt, "{at}");
            }
            assert_eq!(serials, self::serials(&world).await, "{at}");
            let verified = running
                .projector
                .verify(MISTUDIO, &watch::Sender::default())
                .await
                .unwrap();
            assert!(verified.is_same, "{at}: {verified:?}");
        }
        let filled = world.rows().await;
        let filled = filled.iter().filter(|(_, rows)| !rows.is_empty());
        assert_eq!(
            filled.count(),
            MISTUDIO.tables().len(),
            "history {seed} leaves tables empty"
        );
        assert_eq!(world.schemas().await, ["mistudio"]);
        running.end().await;
    }
}

/// Whoever was killed may hold the lock until Postgres has noticed.
async fn rebuild(projector: &Projector) -> Rebuilt {
    loop {
        match projector.rebuild(MISTUDIO).await {
            Err(ProjectorError::Rebuilding { .. }) => {}
            outcome => return outcome.unwrap(),
        }
    }
}

async fn serials(world: &World) -> Value {
    sqlx::query_scalar("SELECT serials FROM projection.offsets WHERE schema_name = 'mistudio'")
        .fetch_one(&world.pool)
        .await
        .unwrap()
}
