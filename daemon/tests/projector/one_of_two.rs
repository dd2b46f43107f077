//! A poisoned event stops the read model that cannot apply it, and nothing else.

use crate::fixture::{LIMIT, MISTUDIO, Running, World, eventually};
use std::time::Duration;
use trainmaster::projector::{Projector, ProjectorError, ProjectorOptions, ReadModelState};
use trainmaster_domain::RecordedEvent;
use trainmaster_projections::{ApplyError, Applying, Projection, ReadModel, Serials};
use trainmaster_tests::history::History;

/// Counts the events of each stream.
struct Tally;

const TALLY: ReadModel = ReadModel::new(&Tally);

impl Projection for Tally {
    fn name(&self) -> &'static str {
        "tally"
    }

    fn version(&self) -> u32 {
        1
    }

    fn ddl(&self) -> &'static [&'static str] {
        &["CREATE TABLE streams (id text PRIMARY KEY, events bigint NOT NULL)"]
    }

    fn tables(&self) -> &'static [&'static str] {
        &["streams"]
    }

    fn apply<'a>(
        &'a self,
        connection: &'a mut sqlx::PgConnection,
        _serials: &'a mut Serials,
        events: &'a [RecordedEvent],
    ) -> Applying<'a> {
        Box::pin(async move {
            for event in events {
                sqlx::query(
                    "INSERT INTO streams VALUES ($1, 1) ON CONFLICT (id) DO UPDATE SET events = streams.events + 1",
                )
                .bind(&event.stream.id)
                .execute(&mut *connection)
                .await
                .map_err(|source| ApplyError::Database { table: "streams", source })?;
            }
            Ok(())
        })
    }
}

fn projector(world: &World) -> Projector {
    let options = ProjectorOptions {
        poll_interval: std::time::Duration::from_millis(100),
        ..ProjectorOptions::default()
    };
    Projector::of(
        &[MISTUDIO, TALLY],
        world.log.clone(),
        world.pool.clone(),
        options,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_read_model_cannot_apply_stops_that_one_until_it_can() {
    let mut world = World::new().await;
    let mut history = History::new(59);
    let running = Running::start(projector(&world));
    let before = world.live(&mut history, 60).await;
    running.reaches(before).await;
    // A checkpoint of a training that never was.
    world
        .sql(
            "INSERT INTO log.open_events (version, schema_version, ordinal, category, stream_id, type, command_id, correlation_id, actor, payload,
                                          transaction_id, recorded_at, previous_hash, hash)
             VALUES (1, 1, 1, 'training', 'tr_ghost', 'CheckpointSaved', 'haunted', 'haunted', 'a superuser',
                     '{\"lease\": 1, \"seq\": 1, \"checkpoint_id\": \"cp_ghost_1\", \"step\": 1, \"storage_path\": \"/nowhere\", \"file_size_bytes\": 1, \"sha256\": \"\"}', 0, '-infinity', '', '')",
        )
        .await;
    // Seen once no older transaction is open.
    let poison = loop {
        if let Some(next) = world.log.next_position(before).await.unwrap() {
            break next;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let queued = "SELECT count(*) FROM log.outbox";
    let tasks: i64 = sqlx::query_scalar(queued)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let last = world.live(&mut history, 200).await;
    let waited = running.projector.wait_for(MISTUDIO, last, LIMIT).await;
    assert!(
        matches!(waited, Err(ProjectorError::Stopped { .. })),
        "{waited:?}"
    );
    // Appends and their tasks go on, and so does the other read model.
    running
        .projector
        .wait_for(TALLY, last, LIMIT)
        .await
        .unwrap();
    let more_tasks: i64 = sqlx::query_scalar(queued)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(more_tasks > tasks, "nothing was dispatched");
    eventually("the status names the event", || async {
        let all = running.projector.status().await.unwrap();
        (all[0].state, all[0].stopped_by) == (ReadModelState::Stopped, Some(poison))
            && all[1].state == ReadModelState::Following
    })
    .await;
    let rebuilt = running.projector.rebuild(MISTUDIO).await;
    assert!(
        matches!(rebuilt, Err(ProjectorError::Apply { first, .. }) if first == poison),
        "{rebuilt:?}"
    );
    let other = running.projector.rebuild(TALLY).await.unwrap();
    assert!(
        other.not_compared.is_none() && !other.tables[0].differs(),
        "{other:?}"
    );
    running.end().await;

    // What was missing is there: the next start goes on.
    world
        .sql(
            "INSERT INTO mistudio.trainings (id, model_id, dataset_id, encoder_type, hyperparameters, total_steps)
             SELECT 'tr_ghost', m.id, d.id, 'sparse', '{}', 1 FROM mistudio.models m, mistudio.datasets d LIMIT 1",
        )
        .await;
    let again = Running::start(projector(&world));
    again.reaches(last).await;
    let all = again.projector.status().await.unwrap();
    assert_eq!(
        (all[0].state, all[0].stopped_by),
        (ReadModelState::Following, None)
    );
    again.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_this_program_cannot_read_stops_reading_there_and_appends_go_on() {
    let mut world = World::new().await;
    let mut history = History::new(61);
    let running = Running::start(projector(&world));
    let before = world.live(&mut history, 60).await;
    running.reaches(before).await;
    world
        .sql(
            "INSERT INTO log.open_events (version, schema_version, ordinal, category, stream_id, type, command_id, correlation_id, actor, payload,
                                          transaction_id, recorded_at, previous_hash, hash)
             VALUES (1, 7, 1, 'preset', 'preset_of_tomorrow', 'PresetDreamt', 'tomorrow', 'tomorrow', 'a newer program', '{}', 0, '-infinity', '', '')",
        )
        .await;
    let unreadable = world.log.next_position(before).await.unwrap().unwrap();
    let last = world.live(&mut history, 40).await;
    let waited = running.projector.wait_for(MISTUDIO, last, LIMIT).await;
    assert!(
        matches!(waited, Err(ProjectorError::Stopped { .. })),
        "{waited:?}"
    );
    eventually("the status names the event", || async {
        let all = running.projector.status().await.unwrap();
        all[0].stopped_by == Some(unreadable) && all[0].position == before
    })
    .await;
    running.end().await;
    // As if a program that knows it had come.
    world
        .sql(
            "ALTER TABLE log.open_events DISABLE TRIGGER ALL;
             UPDATE log.open_events SET type = 'PresetDeleted', schema_version = 1 WHERE stream_id = 'preset_of_tomorrow';
             ALTER TABLE log.open_events ENABLE TRIGGER ALL",
        )
        .await;
    let again = Running::start(projector(&world));
    again.reaches(last).await;
    again.end().await;
}
