//! Migrations: there and back, by several at once, never over a newer program's.

use sqlx::{AssertSqlSafe, PgPool};
use trainmaster::migrate::{self, MigrateError};
use trainmaster_tests::postgres::TestDatabase;

async fn empty() -> PgPool {
    TestDatabase::new().await.pool().await
}

/// Everything that a schema can hold, as text. Extensions are the queue's, and stay: others may use them too.
async fn described(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT format('%s %s %s', c.relkind, c.oid::regclass, string_agg(concat_ws(' ', a.attname, a.atttypid::regtype, a.attnotnull), ', ' ORDER BY a.attnum)) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
         WHERE n.nspname !~ '^(pg_|information_schema$|migrations$)' GROUP BY c.oid, c.relkind \
         UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^(pg_|information_schema$|migrations$)' \
         UNION ALL SELECT format('function %s %s', p.oid::regprocedure, md5(pg_get_functiondef(p.oid))) \
         FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^(pg_|information_schema$)' \
         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') \
         UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema$|migrations$)' ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_migration_can_be_taken_back_and_applied_again() {
    let pool = empty().await;
    let untouched = described(&pool).await;
    let applied = migrate::up(&pool).await.unwrap();
    let migrated = described(&pool).await;
    assert!(applied.len() >= 4 && migrated.len() > untouched.len());
    assert!(migrate::up(&pool).await.unwrap().is_empty());

    let status = migrate::status(&pool).await.unwrap();
    assert_eq!(status.len(), applied.len());
    assert!(
        status
            .iter()
            .all(|migration| migration.applied_at.is_some())
    );
    let mut sets: Vec<_> = status.iter().map(|migration| migration.set).collect();
    sets.dedup();
    // One at a time, and each forth and back again.
    for set in sets.into_iter().rev() {
        let newest = status
            .iter()
            .filter(|m| m.set == set)
            .map(|m| m.number)
            .max();
        for number in (1..=newest.unwrap()).rev() {
            let before = described(&pool).await;
            assert_eq!(
                migrate::down(&pool, set, number - 1).await.unwrap().len(),
                1
            );
            assert_ne!(described(&pool).await, before);
        }
    }
    assert_eq!(described(&pool).await, untouched);
    assert_eq!(migrate::up(&pool).await.unwrap(), applied);
    assert_eq!(described(&pool).await, migrated);
}

#[tokio::test]
async fn every_table_and_every_column_of_the_log_has_a_comment() {
    let pool = empty().await;
    migrate::up(&pool).await.unwrap();
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws('.', c.oid::regclass, a.attname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
         WHERE n.nspname IN ('log', 'migrations') AND c.relkind = 'r' \
         AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL) \
         UNION ALL SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
         WHERE n.nspname = 'log' AND obj_description(p.oid, 'pg_proc') IS NULL",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert!(silent.is_empty(), "{silent:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn daemons_that_start_at_once_migrate_once() {
    let pool = empty().await;
    let daemons: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { migrate::up(&pool).await.unwrap().len() })
        })
        .collect();
    let mut applied = 0;
    for daemon in daemons {
        applied += daemon.await.unwrap();
    }
    assert_eq!(applied, migrate::status(&pool).await.unwrap().len());
}

#[tokio::test]
async fn a_database_that_is_newer_than_the_program_is_refused() {
    let pool = empty().await;
    migrate::up(&pool).await.unwrap();
    sqlx::query("INSERT INTO migrations.applied VALUES ('log', 9999, '9999_later', '', '7.0.0')")
        .execute(&pool)
        .await
        .unwrap();
    for refused in [
        migrate::up(&pool).await.map(drop),
        migrate::down(&pool, "log", 0).await.map(drop),
        migrate::status(&pool).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, MigrateError::Newer { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("7.0.0") && text.contains("log/9999_later"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_migration_that_was_edited_after_it_was_applied_is_refused() {
    let pool = empty().await;
    migrate::up(&pool).await.unwrap();
    sqlx::query(
        "UPDATE migrations.applied SET checksum = 'other' WHERE set = 'log' AND number = 2",
    )
    .execute(&pool)
    .await
    .unwrap();
    let error = migrate::up(&pool).await.unwrap_err();
    assert!(matches!(error, MigrateError::Changed { .. }), "{error}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_of_itself() {
    let pool = empty().await;
    // In the way of the second migration.
    migrate::up(&pool).await.unwrap();
    migrate::down(&pool, "log", 1).await.unwrap();
    sqlx::query("CREATE FUNCTION log.wake_relay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        .execute(&pool)
        .await
        .unwrap();
    let before = described(&pool).await;
    let error = migrate::up(&pool).await.unwrap_err();
    assert!(
        matches!(
            &error,
            MigrateError::Apply {
                migration: "0002_outbox",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(described(&pool).await, before);
}

#[tokio::test]
async fn an_owner_who_is_no_superuser_can_migrate() {
    let database = TestDatabase::new().await;
    let admin = database.pool().await;
    // The role may be there already: other databases of the cluster have it.
    let owner = format!("owner_{}", std::process::id());
    sqlx::raw_sql(AssertSqlSafe(format!(
        "DO $$ BEGIN CREATE ROLE trainmaster_daemon; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$; \
         CREATE ROLE {owner} LOGIN; GRANT trainmaster_daemon TO {owner}; \
         DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO {owner}', current_database()); END $$"
    )))
    .execute(&admin)
    .await
    .unwrap();
    let pool = PgPool::connect_with(database.options().username(&owner))
        .await
        .unwrap();
    migrate::up(&pool).await.unwrap();
    let log = trainmaster::log::Log::new(pool);
    log.execute::<trainmaster_domain::dataset::Dataset>(
        "ds_1",
        crate::fixture::register(),
        crate::fixture::metadata("c1"),
    )
    .await
    .unwrap();
}
