//! The pools: what each may do, and what is said when the server cannot be reached.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::{Duration, Instant};
use trainmaster::{
    config::{DatabaseSettings, Seconds, Secret, Settings},
    database::{Database, DatabaseError},
    migrate,
};
use trainmaster_tests::postgres::{Cluster, TestDatabase};

fn quick() -> DatabaseSettings {
    DatabaseSettings {
        connect_timeout_seconds: Seconds::new(0),
        acquire_timeout_seconds: Seconds::new(10),
        ..Default::default()
    }
}

async fn open(database: &TestDatabase) -> Database {
    Database::connect_with(database.options(), &quick())
        .await
        .unwrap()
}

async fn setting(pool: &sqlx::PgPool, name: &str) -> String {
    sqlx::query_scalar("SELECT current_setting($1)")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_daemon_works_as_its_role_and_migrates_as_the_owner() {
    let database = open(&TestDatabase::new().await).await;
    migrate::up(database.owner_pool()).await.unwrap();
    assert_eq!(setting(database.pool(), "role").await, "trainmaster_daemon");
    assert_eq!(setting(database.owner_pool(), "role").await, "none");
    assert_eq!(setting(database.pool(), "statement_timeout").await, "1min");
    assert_eq!(
        setting(database.owner_pool(), "statement_timeout").await,
        "0"
    );
    assert_eq!(
        setting(database.pool(), "application_name").await,
        "trainmaster"
    );
    let refused = sqlx::query("DELETE FROM log.events")
        .execute(database.pool())
        .await
        .unwrap_err();
    assert_eq!(
        refused.as_database_error().unwrap().code().as_deref(),
        Some("42501"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_listener_hears_what_the_pool_says_without_taking_a_connection_from_it() {
    let database = open(&TestDatabase::new().await).await;
    let mut listener = database.listener().await.unwrap();
    listener.listen("news").await.unwrap();
    assert_eq!(database.pool().size(), 0);
    sqlx::query("SELECT pg_notify('news', 'hello')")
        .execute(database.pool())
        .await
        .unwrap();
    assert_eq!(listener.recv().await.unwrap().payload(), "hello");
}

#[tokio::test]
async fn connections_of_before_a_restart_are_not_handed_out_after_it() {
    let cluster = Cluster::start();
    let database = open(&cluster.database().await).await;
    database.ping(Duration::from_secs(10)).await.unwrap();
    cluster.stop();
    assert!(database.ping(Duration::from_secs(10)).await.is_err());
    cluster.boot();
    database.ping(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_late_is_waited_for() {
    let cluster = Cluster::start();
    let options = cluster.database().await.options();
    cluster.stop();
    let settings = DatabaseSettings {
        connect_timeout_seconds: Seconds::new(60),
        ..quick()
    };
    let (opened, ()) = tokio::join!(Database::connect_with(options, &settings), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        tokio::task::block_in_place(|| cluster.boot());
    });
    opened.unwrap();
}

#[tokio::test]
async fn what_waiting_does_not_mend_fails_at_once_with_advice() {
    let database = TestDatabase::new().await;
    let options = database.options().database("not_there");
    let settings = DatabaseSettings {
        connect_timeout_seconds: Seconds::new(600),
        ..quick()
    };
    let started = Instant::now();
    let error = Database::connect_with(options, &settings)
        .await
        .unwrap_err()
        .to_string();
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(
        error.contains("not_there") && error.contains("createdb"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let mut settings = Settings {
        database: quick(),
        ..Default::default()
    };
    settings.database.url = Some(Secret::new("postgres://me:hush@127.0.0.1:1/lab"));
    let error = Database::connect(&settings).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Connect { .. }));
    assert!(error.to_string().contains("me@127.0.0.1:1/lab"), "{error}");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}
