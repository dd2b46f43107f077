//! Migrations of a log that has segments.

use super::World;
use trainmaster::migrate;
use trainmaster_domain::Position;
use trainmaster_tests::history::History;

#[tokio::test]
async fn segments_become_one_table_again_unless_some_have_left() {
    let mut world = World::new().await;
    let mut history = History::new(9);
    for _ in 0..3 {
        world.live(&mut history, 15).await;
        world.archiver.close().await.unwrap();
    }
    let pool = world.log.pool().clone();
    for _ in 0..2 {
        world.live(&mut history, 5).await;
        migrate::down(&pool, "log", 7).await.unwrap();
        let events: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(usize::try_from(events).unwrap(), world.written.len());
        migrate::up(&pool).await.unwrap();
        let read = world.fresh().read(Position::START, usize::MAX).await;
        assert!(read.unwrap() == world.written);
    }
    world.live(&mut history, 15).await;
    world.archive_all().await;
    let refused = migrate::down(&pool, "log", 7).await.unwrap_err();
    let refused = format!("{refused:?}");
    assert!(refused.contains("files in the archive"), "{refused}");
    let read = world.fresh().read(Position::START, usize::MAX).await;
    assert!(read.unwrap() == world.written);
    world.fresh().verify().await.unwrap();
}
