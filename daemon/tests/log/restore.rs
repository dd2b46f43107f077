//! A log that moves to another cluster by pg_dump goes on there, although transaction ids begin again.

use crate::archive::World;
use crate::fixture::{claim, empty_log_alone, metadata, register};
use sqlx::PgPool;
use std::process::{Command, Stdio};
use trainmaster::{log::Log, migrate};
use trainmaster_domain::{Position, dataset::Dataset};
use trainmaster_tests::history::History;
use trainmaster_tests::postgres::{Cluster, TestDatabase};

fn move_to(from: &Cluster, source: &str, to: &TestDatabase) {
    let mut dump = Command::new(from.programs().join("pg_dump"))
        .arg(source)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let restored = Command::new(from.programs().join("psql"))
        .args(["-q", "-v", "ON_ERROR_STOP=1", "-1", to.url()])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(dump.wait().unwrap().success() && restored.success());
}

/// Copies a log of `cluster` as it is now into a database that is empty.
pub async fn dump_into(cluster: &Cluster, log: &Log, database: &TestDatabase) {
    let name: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(log.pool())
        .await
        .unwrap();
    let source = format!(
        "postgres://postgres@localhost/{name}?host={}",
        cluster.socket_directory().display()
    );
    move_to(cluster, &source, database);
}

/// Transactions that write elsewhere, as in a cluster that has run for long.
async fn spend_transaction_ids(pool: &PgPool) {
    sqlx::raw_sql("DO $$ BEGIN FOR i IN 1 .. 5000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$")
        .execute(pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_restored_log_is_readable_in_the_same_order_and_grows_at_its_end() {
    let (old_cluster, old) = empty_log_alone().await;
    spend_transaction_ids(old.pool()).await;
    for id in ["ds_1", "ds_2"] {
        old.execute::<Dataset>(id, register(), metadata(format!("register {id}")))
            .await
            .unwrap();
    }
    let before = old.read(Position::START, 10).await.unwrap();
    assert_eq!(before.len(), 4);

    let new_cluster = Cluster::start();
    let database = new_cluster.database().await;
    let pool = database.pool().await;
    sqlx::raw_sql(
        "CREATE ROLE trainmaster_daemon NOLOGIN; CREATE ROLE trainmaster_monitor NOLOGIN",
    )
    .execute(&pool)
    .await
    .unwrap();
    dump_into(&old_cluster, &old, &database).await;
    let new = Log::new(pool.clone());
    // The fault that this is about: the new cluster's transaction ids are behind the events'.
    assert!(new.read(Position::START, 10).await.unwrap().is_empty());

    migrate::up(&pool).await.unwrap();
    assert_eq!(new.read(Position::START, 10).await.unwrap(), before);
    let claimed = new
        .execute::<Dataset>("ds_1", claim(), metadata("claim"))
        .await
        .unwrap();
    let after = new.read(before[3].position, 10).await.unwrap();
    assert_eq!(after, claimed.events);
    new.verify().await.unwrap();

    // Starting again changes nothing.
    let base = "SELECT log.transaction_base()";
    let once: i64 = sqlx::query_scalar(base).fetch_one(&pool).await.unwrap();
    migrate::up(&pool).await.unwrap();
    let twice: i64 = sqlx::query_scalar(base).fetch_one(&pool).await.unwrap();
    assert_eq!(once, i64::try_from(before[3].position.transaction).unwrap());
    assert_eq!(twice, once);
}

#[tokio::test]
async fn a_restored_log_has_its_segments_and_its_archive_and_goes_on() {
    let (old_cluster, log) = empty_log_alone().await;
    spend_transaction_ids(log.pool()).await;
    let mut world = World::on(log);
    let mut history = History::new(10);
    world.live(&mut history, 20).await;
    world.archive_all().await;
    world.live(&mut history, 20).await;
    world.archiver.close().await.unwrap();
    world.live(&mut history, 20).await;

    let new_cluster = Cluster::start();
    let database = new_cluster.database().await;
    let pool = database.pool().await;
    sqlx::raw_sql(
        "CREATE ROLE trainmaster_daemon NOLOGIN; CREATE ROLE trainmaster_monitor NOLOGIN",
    )
    .execute(&pool)
    .await
    .unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()::text")
        .fetch_one(world.log.pool())
        .await
        .unwrap();
    let source = format!(
        "postgres://postgres@localhost/{name}?host={}",
        old_cluster.socket_directory().display()
    );
    move_to(&old_cluster, &source, &database);
    migrate::up(&pool).await.unwrap();
    let archive = world.directory.path().join("archive");
    world.log = Log::new(pool.clone()).archived_in(archive);
    world.archiver = crate::archive::archiver(&world.log, world.directory.path());
    for _ in 0..2 {
        let read = world.log.read(Position::START, usize::MAX).await.unwrap();
        assert!(
            read == world.written,
            "{} of {}",
            read.len(),
            world.written.len()
        );
        world.live(&mut history, 20).await;
        world.log.verify().await.unwrap();
        world.archive_all().await;
    }
    let read = world.log.read(Position::START, usize::MAX).await.unwrap();
    assert!(read == world.written);
}
