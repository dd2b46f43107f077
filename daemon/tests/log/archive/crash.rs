//! Archiving that is interrupted leaves the events in the database, in the file, or in both.

use super::World;
use std::fs;
use trainmaster_domain::Position;
use trainmaster_tests::history::History;

async fn closed() -> World {
    let mut world = World::new().await;
    world.live(&mut History::new(6), 60).await;
    world.archiver.close().await.unwrap();
    world
}

async fn all_is_there(world: &World) {
    let read = world
        .fresh()
        .read(Position::START, usize::MAX)
        .await
        .unwrap();
    assert!(read == world.written);
}

fn files(world: &World) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(world.directory.path().join("archive"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != ".lock")
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_file_that_was_not_finished_is_written_anew() {
    let world = closed().await;
    let archive = world.directory.path().join("archive");
    fs::create_dir_all(&archive).unwrap();
    fs::write(archive.join(".00000001.tmp"), b"half of it").unwrap();
    all_is_there(&world).await;
    let archived = world.archive_all().await;
    assert_eq!(files(&world), [archived[0].file.as_str()]);
    all_is_there(&world).await;
}

#[tokio::test]
async fn a_file_whose_segment_did_not_leave_is_used_again() {
    let world = closed().await;
    let segment = &world.segments().await[0];
    let written = world.archiver.write(segment).await.unwrap();
    all_is_there(&world).await;
    let archived = world.archive_all().await;
    assert_eq!(archived, [written]);
    assert_eq!(files(&world), [archived[0].file.as_str()]);
    all_is_there(&world).await;
}

#[tokio::test]
async fn a_segment_leaves_once_and_in_its_turn() {
    let mut world = closed().await;
    world.live(&mut History::new(7), 0).await;
    let first = world
        .archiver
        .write(&world.segments().await[0])
        .await
        .unwrap();
    let mut second = first.clone();
    second.segment = 2;
    // The second one is open.
    assert!(world.archiver.take_out(&second).await.is_err());
    world.archiver.take_out(&first).await.unwrap();
    assert!(world.archiver.take_out(&first).await.is_err());
    all_is_there(&world).await;
}

#[tokio::test]
async fn an_altered_event_does_not_leave() {
    let world = closed().await;
    sqlx::raw_sql(
        "ALTER TABLE log.events_1 DISABLE TRIGGER ALL; \
         UPDATE log.events_1 SET actor = 'someone else' WHERE sequence = (SELECT max(sequence) FROM log.events_1)",
    )
    .execute(world.log.pool())
    .await
    .unwrap();
    let error = world
        .archiver
        .archive(chrono::DateTime::<chrono::Utc>::MAX_UTC)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("log verify"), "{error}");
    sqlx::raw_sql(
        "DELETE FROM log.events_1 WHERE sequence = (SELECT max(sequence) FROM log.events_1)",
    )
    .execute(world.log.pool())
    .await
    .unwrap();
    let error = world
        .archiver
        .archive(chrono::DateTime::<chrono::Utc>::MAX_UTC)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("but was closed with"), "{error}");
}
