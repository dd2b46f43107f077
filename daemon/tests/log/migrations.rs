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
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
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

/// What comes and goes with the migrations, and what of it is data.
async fn filled() -> PgPool {
    let log = crate::fixture::empty_log().await;
    for id in ["ds_1", "ds_2"] {
        log.execute::<trainmaster_domain::dataset::Dataset>(
            id,
            crate::fixture::register(),
            crate::fixture::metadata(format!("register {id}")),
        )
        .await
        .unwrap();
    }
    log.note_heads().await.unwrap();
    log.pool().clone()
}

async fn events(pool: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM log.events")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The sets, those first that may stand on others.
async fn sets(pool: &PgPool) -> Vec<&'static str> {
    let status = migrate::status(pool).await.unwrap();
    let mut sets: Vec<_> = status.iter().map(|migration| migration.set).collect();
    sets.dedup();
    sets.reverse();
    assert!(sets.len() >= 4);
    sets
}

/// Each migration, the newest first: down and up, with data in the tables; then further down. Twice: every step of the second time
/// leaves what the same step of the first time left.
#[tokio::test]
async fn every_migration_can_be_taken_back_and_applied_again_twice() {
    let pool = filled().await;
    let migrated = described(&pool).await;
    assert!(migrate::up(&pool).await.unwrap().is_empty());
    let all = migrate::status(&pool).await.unwrap();
    assert!(all.iter().all(|migration| migration.applied_at.is_some()));
    let sets = sets(&pool).await;
    for (standing, set) in sets.iter().enumerate() {
        let names: Vec<String> = all
            .iter()
            .filter(|migration| migration.set == *set)
            .map(|migration| format!("{set}/{}", migration.name))
            .collect();
        let mut rounds = Vec::new();
        for _ in 0..2 {
            let mut steps = Vec::new();
            for number in (0..names.len()).rev() {
                // What may stand on it is taken back before it.
                for other in &sets[..standing] {
                    migrate::down(&pool, other, 0).await.unwrap();
                }
                let before = described(&pool).await;
                let reverted = migrate::down(&pool, set, number as i32).await.unwrap();
                let newest_first: Vec<_> = names[number..].iter().rev().cloned().collect();
                assert_eq!(reverted, newest_first, "of {set}");
                let after = described(&pool).await;
                assert_ne!(after, before, "{reverted:?} took nothing back");
                steps.push(after);
                let applied = migrate::up(&pool).await.unwrap();
                for name in &names[number..] {
                    assert!(applied.contains(name), "{applied:?}");
                }
                assert_eq!(described(&pool).await, migrated, "{set} from {number}");
                // The first migration of the log takes its events along, and the second time there are none.
                if *set == "log" && number > 0 && rounds.is_empty() {
                    assert_eq!(events(&pool).await, 4, "{}", names[number]);
                }
            }
            assert!(!steps.last().unwrap().contains(&format!("schema {set}")));
            rounds.push(steps);
        }
        assert_eq!(rounds[0], rounds[1], "{set}");
    }
    // What the first migration created went with its data; the log begins again.
    assert_eq!(events(&pool).await, 0);
    let log = trainmaster::log::Log::new(pool.clone());
    log.execute::<trainmaster_domain::dataset::Dataset>(
        "ds_1",
        crate::fixture::register(),
        crate::fixture::metadata("after all"),
    )
    .await
    .unwrap();
    log.verify().await.unwrap();
}

/// Nothing is left of all sets, and all come back.
#[tokio::test]
async fn all_migrations_together_can_be_taken_back_twice() {
    let pool = empty().await;
    let untouched = described(&pool).await;
    let applied = migrate::up(&pool).await.unwrap();
    let migrated = described(&pool).await;
    for _ in 0..2 {
        for set in sets(&pool).await {
            migrate::down(&pool, set, 0).await.unwrap();
        }
        assert_eq!(described(&pool).await, untouched);
        assert_eq!(migrate::up(&pool).await.unwrap(), applied);
        assert_eq!(described(&pool).await, migrated);
    }
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
