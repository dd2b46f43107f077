use crate::fixture::{LIMIT, MISTUDIO, Running, World, eventually, status};
use std::time::Duration;
use trainmaster::projector::{ProjectorError, ReadModelState};
use trainmaster_domain::{Aggregate, Position};
use trainmaster_tests::{
    history::{Draw, History},
    postgres::Cluster,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_daemons_projected_live_is_what_a_rebuild_makes() {
    let mut world = World::new().await;
    let mut history = History::new(7);
    let one = Running::start(world.projector(3));
    let other = Running::start(world.projector(500));
    let mut last = Position::START;
    for _ in 0..8 {
        last = world.live(&mut history, 100).await;
    }
    one.reaches(last).await;
    other.reaches(last).await;
    let live = world.rows().await;
    assert!(live.iter().filter(|(_, rows)| !rows.is_empty()).count() == 5);
    let status = status(&one.projector).await;
    assert_eq!(
        (status.state, status.behind_events, status.position),
        (ReadModelState::Following, 0, last)
    );

    let rebuilt = one.projector.rebuild(MISTUDIO).await.unwrap();
    assert_eq!(rebuilt.position, last);
    assert_eq!(rebuilt.events, status.events);
    for rows in &rebuilt.tables {
        assert_eq!(rows.before, Some(rows.after), "{}", rows.table);
    }
    for (live, rebuilt) in live.into_iter().zip(world.rows().await) {
        assert_eq!(live, rebuilt);
    }
    // Both go on with the tables that were swapped in.
    last = world.live(&mut history, 50).await;
    one.reaches(last).await;
    other.reaches(last).await;
    let there = history.trainings().values().filter(|it| !it.is_deleted());
    assert_eq!(world.table("trainings").await.len(), there.count());
    one.end().await;
    other.end().await;
}

#[tokio::test]
async fn whoever_waits_reads_what_it_wrote() {
    let mut world = World::new().await;
    let mut history = History::new(3);
    // Nothing but being woken makes it in time.
    let hour = Duration::from_secs(3_600);
    let running = Running::start(world.projector_by(world.pool.clone(), 100, hour));
    for _ in 0..40 {
        let step = history.next().unwrap();
        let stream = step.events[0].stream.id.clone();
        let position = world.execute(step.command).await;
        running.reaches(position).await;
        let updated: Option<bool> = sqlx::query_scalar(
            "SELECT updated_at = (SELECT max(recorded_at) FROM log.events WHERE stream_id = $1)
               FROM (SELECT id, updated_at FROM mistudio.datasets UNION ALL
                     SELECT id, updated_at FROM mistudio.models UNION ALL
                     SELECT id, updated_at FROM mistudio.trainings) AS rows
              WHERE id = $1",
        )
        .bind(&stream)
        .fetch_optional(&world.pool)
        .await
        .unwrap();
        assert_eq!(updated, Some(true), "{stream} at {position}");
    }
    running.end().await;
}

#[tokio::test]
async fn whoever_waits_for_what_does_not_come_is_told_so() {
    let world = World::new().await;
    let running = Running::start(world.projector(100));
    let never = Position {
        transaction: u64::MAX,
        sequence: 1,
    };
    let waited = running
        .projector
        .wait_for(MISTUDIO, never, Duration::from_millis(50))
        .await;
    assert!(matches!(waited, Err(ProjectorError::Behind { wanted, .. }) if wanted == never));
    running.end().await;
}

#[tokio::test]
async fn the_lag_is_counted_in_events_and_in_seconds() {
    let mut world = World::new().await;
    let projector = world.projector(100);
    assert_eq!(status(&projector).await.state, ReadModelState::Absent);
    let mut history = History::new(5);
    let mut last = Position::START;
    for _ in 0..30 {
        let step = history.next().unwrap();
        last = world.execute(step.command).await;
    }
    let behind = status(&projector).await;
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(behind.behind_events, events);
    assert!(behind.behind_seconds > 0.0);
    let running = Running::start(projector);
    running.reaches(last).await;
    let caught_up = status(&running.projector).await;
    assert_eq!(
        (
            caught_up.behind_events,
            caught_up.behind_seconds,
            caught_up.events
        ),
        (0, 0.0, events)
    );
    running.end().await;
}

#[tokio::test]
async fn rows_and_offset_come_together_or_not_at_all() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(1_000));
    let mut history = History::new(11);
    let first = world.live(&mut history, 30).await;
    running.reaches(first).await;
    let before = world.rows().await;
    world
        .sql(
            "CREATE FUNCTION public.fall_over() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'the power fails just before the offset is written'; END $$;
             CREATE TRIGGER fall_over BEFORE UPDATE ON projection.offsets FOR EACH ROW
                 EXECUTE FUNCTION public.fall_over()",
        )
        .await;
    let last = world.live(&mut history, 30).await;
    let waited = running
        .projector
        .wait_for(MISTUDIO, last, Duration::from_millis(500))
        .await;
    assert!(matches!(waited, Err(ProjectorError::Behind { reached, .. }) if reached == first));
    assert!(before == world.rows().await, "rows without their offset");
    world
        .sql("DROP TRIGGER fall_over ON projection.offsets")
        .await;
    running.reaches(last).await;
    let live = world.rows().await;
    running.projector.rebuild(MISTUDIO).await.unwrap();
    assert!(live == world.rows().await);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_cut_at_random_lose_and_repeat_nothing() {
    let mut world = World::new().await;
    let owner = sqlx::postgres::PgPoolOptions::new()
        .max_connections(2)
        .connect_with(world.database.options().application_name("cut"))
        .await
        .unwrap();
    let running = Running::start(world.projector_by(owner, 5, Duration::from_millis(200)));
    let mut history = History::new(13);
    let mut draw = Draw::new(13);
    let mut last = Position::START;
    for _ in 0..40 {
        last = world.live(&mut history, 1 + draw.below(20) as usize).await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut'",
        )
        .execute(&world.pool)
        .await
        .unwrap();
    }
    running.reaches(last).await;
    let live = world.rows().await;
    let own = world.projector(1_000);
    own.rebuild(MISTUDIO).await.unwrap();
    assert!(
        live == world.rows().await,
        "what was projected over broken connections differs"
    );
    running.end().await;
}

#[tokio::test]
async fn rows_that_a_crash_of_postgres_took_are_made_again() {
    // The log is durable at each commit; rows are as soon as the next event is.
    let settings = ["fsync = off", "wal_writer_delay = 10s"];
    let mut world = World::on(Cluster::start_with(&settings)).await;
    let running = Running::start(world.projector(10));
    let mut history = History::new(15);
    for _ in 0..3 {
        let last = world.live(&mut history, 30).await;
        running.reaches(last).await;
        world.cluster.stop();
        world.cluster.boot();
        // Nobody appends anything that would wake the projector.
        eventually("all rows are there again", || async {
            let offset: (i64, i64) = sqlx::query_as(
                "SELECT transaction_id, sequence FROM projection.offsets WHERE schema_name = 'mistudio'",
            )
            .fetch_one(&world.pool)
            .await
            .unwrap_or_default();
            offset == (last.transaction.cast_signed(), last.sequence)
        })
        .await;
    }
    let live = world.rows().await;
    running.projector.rebuild(MISTUDIO).await.unwrap();
    assert!(live == world.rows().await);
    running.end().await;
}

#[tokio::test]
async fn whoever_waits_for_a_projector_that_shuts_down_is_told_at_once() {
    let world = World::new().await;
    let running = Running::start(world.projector(10));
    let projector = running.projector.clone();
    let never = Position {
        transaction: u64::MAX,
        sequence: 1,
    };
    let waiting =
        tokio::spawn(async move { projector.wait_for(MISTUDIO, never, LIMIT * 60).await });
    running.end().await;
    let waited = tokio::time::timeout(LIMIT, waiting).await.unwrap().unwrap();
    assert!(
        matches!(waited, Err(ProjectorError::Behind { .. })),
        "{waited:?}"
    );
}

#[tokio::test]
async fn an_event_that_commits_late_is_not_passed_over() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(100));
    let mut history = History::new(17);
    let first = world.live(&mut history, 5).await;
    running.reaches(first).await;
    // Draws its transaction id before the others and commits after them.
    let mut early = world.pool.begin().await.unwrap();
    sqlx::query(
        "SELECT log.append('model', 'm_early', 0, 'early', 'c', NULL, 'test', NULL, '{ModelRegistered}', '{1}',
             ARRAY['{\"name\": \"n\", \"architecture\": \"llama\", \"quantization\": \"Q4\"}'::jsonb],
             ARRAY[NULL::jsonb], ARRAY[NULL::timestamptz])",
    )
    .execute(&mut *early)
    .await
    .unwrap();
    let last = world.live(&mut history, 10).await;
    early.commit().await.unwrap();
    running.reaches(last).await;
    eventually("the late one is there", || async {
        world
            .table("models")
            .await
            .iter()
            .any(|row| row["id"] == "m_early")
    })
    .await;
    running.end().await;
}
