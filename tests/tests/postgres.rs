//! The tests' own Postgres.
#![allow(clippy::unwrap_used, reason = "a test may")]

use sqlx::Connection;
use trainmaster_tests::postgres::{Cluster, TestDatabase};

#[tokio::test]
async fn every_test_has_an_empty_database_of_its_own() {
    let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
    let (one, other) = (one.pool().await, other.pool().await);
    sqlx::query("CREATE TABLE only_here ()")
        .execute(&one)
        .await
        .unwrap();
    let missing = sqlx::query("TABLE only_here").execute(&other).await;
    assert!(missing.is_err());
}

#[tokio::test]
async fn a_cluster_survives_a_crash_and_leaves_nothing_behind() {
    let cluster = Cluster::start_with(&["fsync=on"]);
    let directory = cluster.socket_directory().to_owned();
    let database = cluster.database().await;
    let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
    sqlx::query("CREATE TABLE survivor AS SELECT 42 AS answer")
        .execute(&mut connection)
        .await
        .unwrap();
    cluster.stop();
    assert!(connection.ping().await.is_err());
    cluster.boot();
    let mut connection = sqlx::PgConnection::connect(database.url()).await.unwrap();
    let answer: i32 = sqlx::query_scalar("SELECT answer FROM survivor")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(answer, 42);
    drop(cluster);
    assert!(!directory.exists());
}
