use crate::fixture::{Running, World};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::watch;
use trainmaster::projector::{Projector, ProjectorError, Rebuilt, TableRows};
use trainmaster_projections::ReadModel;
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
        let mut history =
            History::with_surroundings(seed, directory.path().to_owned()).with_clusters();
        let mut draw = Draw::new(seed);
        let running = Running::start(world.projector(1 + draw.below(80) as usize));
        for prefix in 0..3 {
            let commands = 150 + draw.below(300) as usize;
            let last = world.live(&mut history, commands).await;
            running.all_reach(last).await;
            for read_model in ReadModel::ALL {
                let live = world.rows_of(read_model).await;
                let serials = serials(&world, read_model).await;
                for _ in 0..draw.below(4) {
                    let slow = world.projector(1 + draw.below(20) as usize);
                    let rebuild = tokio::spawn(async move { slow.rebuild(read_model).await });
                    tokio::time::sleep(Duration::from_micros(draw.below(600_000))).await;
                    rebuild.abort();
                    // It may have been faster.
                    let _ = rebuild.await;
                    assert!(
                        live == world.rows_of(read_model).await,
                        "history {seed}: killing changed rows"
                    );
                }
                let projector = world.projector(1 + draw.below(500) as usize);
                let rebuilt = rebuild(&projector, read_model).await;
                let at = format!("{read_model}, history {seed}, prefix {prefix}, at {last}");
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
                for (live, rebuilt) in live.iter().zip(world.rows_of(read_model).await) {
                    assert_eq!(*live, rebuilt, "{at}");
                }
                assert_eq!(serials, self::serials(&world, read_model).await, "{at}");
                let verified = running
                    .projector
                    .verify(read_model, &watch::Sender::default())
                    .await
                    .unwrap();
                assert!(verified.is_same, "{at}: {verified:?}");
            }
        }
        for read_model in ReadModel::ALL {
            let filled = world.rows_of(read_model).await;
            let filled = filled.iter().filter(|(_, rows)| !rows.is_empty());
            assert_eq!(
                filled.count(),
                read_model.tables().len(),
                "history {seed} leaves tables of {read_model} empty"
            );
        }
        assert_eq!(world.schemas().await, ["mistudio"]);
        running.end().await;
    }
}

/// Whoever was killed may hold the lock until Postgres has noticed.
async fn rebuild(projector: &Projector, read_model: ReadModel) -> Rebuilt {
    loop {
        match projector.rebuild(read_model).await {
            Err(ProjectorError::Rebuilding { .. }) => {}
            outcome => return outcome.unwrap(),
        }
    }
}

async fn serials(world: &World, read_model: ReadModel) -> Value {
    sqlx::query_scalar("SELECT serials FROM projection.offsets WHERE schema_name = $1")
        .bind(read_model.name())
        .fetch_one(&world.pool)
        .await
        .unwrap()
}
