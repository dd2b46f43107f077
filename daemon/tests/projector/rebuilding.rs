use crate::fixture::{MISTUDIO, Running, World, eventually, status};
use trainmaster::projector::{ProjectorError, ReadModelState};
use trainmaster_domain::Position;
use trainmaster_tests::history::History;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_killed_leaves_the_tables_in_use_as_they_were() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(1_000));
    let mut history = History::new(29);
    let mut last = world.live(&mut history, 200).await;
    running.reaches(last).await;
    let rows = world.rows().await;
    // One event a transaction, so that there is time to kill it.
    let slow = world.projector(1);
    let rebuild = tokio::spawn(async move { slow.rebuild(MISTUDIO).await });
    eventually("a part of it is built", || async {
        status(&running.projector)
            .await
            .rebuilt_events
            .is_some_and(|events| events > 5)
    })
    .await;
    let holding_readers_back: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
          WHERE locktype = 'advisory' AND NOT (backend_xid IS NULL AND backend_xmin IS NULL AND state = 'idle in transaction')",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(holding_readers_back, 0);
    // It gets no further than this.
    let mut barrier = world.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM projection.offsets WHERE schema_name = 'mistudio_next' FOR UPDATE")
        .execute(&mut *barrier)
        .await
        .unwrap();
    let second = world.projector(10).rebuild(MISTUDIO).await;
    assert!(
        matches!(second, Err(ProjectorError::Rebuilding { .. })),
        "two at once: {second:?}"
    );
    rebuild.abort();
    assert!(rebuild.await.unwrap_err().is_cancelled());
    barrier.commit().await.unwrap();
    assert!(rows == world.rows().await);
    assert_eq!(world.schemas().await, ["mistudio", "mistudio_next"]);
    // The read model in use goes on, and the next start goes on with the rebuild where it was.
    let left = status(&running.projector).await;
    assert!(!left.is_rebuilding, "nobody is at it");
    let left = left.rebuilt_events.unwrap();
    last = world.live(&mut history, 20).await;
    running.reaches(last).await;
    running.end().await;
    world
        .sql(
            "CREATE TABLE public.applied (schema_name text, events bigint);
             CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN INSERT INTO public.applied VALUES (NEW.schema_name, NEW.events); RETURN NULL; END $$;
             CREATE TRIGGER note AFTER INSERT OR UPDATE ON projection.offsets FOR EACH ROW EXECUTE FUNCTION public.note()",
        )
        .await;
    let again = Running::start(world.projector(7));
    again.reaches(last).await;
    eventually("the rebuild is done", || async {
        world.schemas().await == ["mistudio"]
            && status(&again.projector).await.rebuilt_events.is_none()
    })
    .await;
    let least: i64 = sqlx::query_scalar(
        "SELECT min(events) FROM public.applied WHERE schema_name = 'mistudio_next'",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert!(least >= left, "it began anew: {least} events after {left}");
    let live = world.rows().await;
    again.projector.rebuild(MISTUDIO).await.unwrap();
    assert!(live == world.rows().await);
    again.end().await;
}

#[tokio::test]
async fn readers_go_on_while_tables_are_swapped() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(1_000));
    let mut history = History::new(31);
    let last = world.live(&mut history, 100).await;
    running.reaches(last).await;
    let trainings = world.table("trainings").await.len();
    let mut reader = world.pool.begin().await.unwrap();
    let count = "SELECT count(*) FROM mistudio.trainings";
    let before: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    // The reader holds its lock on the old tables all the while.
    running.projector.rebuild(MISTUDIO).await.unwrap();
    let after: i64 = sqlx::query_scalar(count)
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    assert_eq!((before, after), (trainings as i64, trainings as i64));
    assert_eq!(world.schemas().await, ["mistudio", "mistudio_old"]);
    reader.commit().await.unwrap();
    running.end().await;
    let again = Running::start(world.projector(1_000));
    again.reaches(last).await;
    assert_eq!(world.schemas().await, ["mistudio"]);
    again.end().await;
}

#[tokio::test]
async fn tables_of_another_version_are_built_anew_at_the_start() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(50));
    let mut history = History::new(37);
    let last = world.live(&mut history, 100).await;
    running.reaches(last).await;
    running.end().await;
    let rows = world.rows().await;
    world
        .sql(
            "UPDATE projection.offsets SET version = '0-older';
             UPDATE mistudio.trainings SET worker_id = 'as an older version did it';
             ALTER TABLE mistudio.trainings DROP COLUMN gpu_id",
        )
        .await;
    let projector = world.projector(50);
    assert_eq!(status(&projector).await.state, ReadModelState::Outdated);
    let running = Running::start(projector);
    running.reaches(last).await;
    assert_eq!(
        status(&running.projector).await.state,
        ReadModelState::Following
    );
    assert!(rows == world.rows().await);
    running.end().await;
}

#[tokio::test]
async fn offsets_that_were_lost_are_no_reason_to_apply_events_twice() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(50));
    let mut history = History::new(41);
    let last = world.live(&mut history, 60).await;
    running.reaches(last).await;
    running.end().await;
    let rows = world.rows().await;
    world.sql("DELETE FROM projection.offsets").await;
    let running = Running::start(world.projector(50));
    running.reaches(last).await;
    assert!(rows == world.rows().await);
    running.end().await;
}

#[tokio::test]
async fn a_schema_of_somebody_else_is_left_alone() {
    let world = World::new().await;
    world
        .sql("CREATE SCHEMA mistudio; CREATE TABLE mistudio.trainings (theirs text)")
        .await;
    let running = Running::start(world.projector(50));
    let rebuilt = running.projector.rebuild(MISTUDIO).await;
    assert!(
        matches!(rebuilt, Err(ProjectorError::ForeignSchema { .. })),
        "{rebuilt:?}"
    );
    let waited = running
        .projector
        .wait_for(
            MISTUDIO,
            Position {
                transaction: 1,
                sequence: 1,
            },
            crate::fixture::LIMIT,
        )
        .await;
    assert!(
        matches!(waited, Err(ProjectorError::Stopped { .. })),
        "{waited:?}"
    );
    running.end().await;
    world.sql("SELECT theirs FROM mistudio.trainings").await;
}
