//! Every role, every schema, every right: what is granted is exactly what is written here.

use crate::fixture::{SECRET_TEXT, World};
use sqlx::{AssertSqlSafe, PgPool};

const ROLES: [&str; 4] = [
    "trainmaster_daemon",
    "mistudio",
    "pic",
    "trainmaster_monitor",
];

/// What a role may do with a relation: the initials of SELECT, INSERT, UPDATE, DELETE, and nothing else.
fn allowed(role: &str, schema: &str, relation: &str) -> &'static str {
    match (role, schema, relation) {
        ("trainmaster_daemon", "log", "outbox") => "SIUD",
        ("trainmaster_daemon", "log", "open_events" | "settled_commands" | "heads") => "SI",
        (
            "trainmaster_daemon",
            "log",
            "events" | "segments" | "closed_streams" | "closed_commands",
        ) => "S",
        ("trainmaster_daemon", "dispatch" | "apalis" | "snapshot", _) => "SIUD",
        ("trainmaster_daemon", "recovery", _) => "S",
        ("trainmaster_daemon" | "mistudio" | "trainmaster_monitor", "mistudio", _)
        | ("trainmaster_daemon" | "pic" | "trainmaster_monitor", "pic", _) => "S",
        ("trainmaster_monitor", "monitoring", _) => "S",
        // The extension lets everybody see their own statements; what others' say takes pg_read_all_stats.
        (_, "monitoring", "pg_stat_statements" | "pg_stat_statements_info") => "S",
        _ => "",
    }
}

#[tokio::test]
async fn every_role_has_the_rights_it_needs_and_no_other_on_every_table_of_every_schema() {
    let world = World::new(&[]).await;
    let mut wrong = vec![];
    let mut seen = 0;
    for role in ROLES {
        let found: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT n.nspname::text, c.relname::text,
                    concat(CASE WHEN has_table_privilege($1, c.oid, 'SELECT') OR has_any_column_privilege($1, c.oid, 'SELECT') THEN 'S' END,
                           CASE WHEN has_table_privilege($1, c.oid, 'INSERT') OR has_any_column_privilege($1, c.oid, 'INSERT') THEN 'I' END,
                           CASE WHEN has_table_privilege($1, c.oid, 'UPDATE') OR has_any_column_privilege($1, c.oid, 'UPDATE') THEN 'U' END,
                           CASE WHEN has_table_privilege($1, c.oid, 'DELETE') THEN 'D' END,
                           CASE WHEN has_table_privilege($1, c.oid, 'TRUNCATE') THEN ' truncate' END,
                           CASE WHEN has_table_privilege($1, c.oid, 'REFERENCES') THEN ' references' END,
                           CASE WHEN has_table_privilege($1, c.oid, 'TRIGGER') THEN ' trigger' END)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
        )
        .bind(role)
        .fetch_all(&world.owner)
        .await
        .unwrap();
        for (schema, relation, rights) in found {
            seen += 1;
            let expected = allowed(role, &schema, &relation);
            if rights != expected {
                wrong.push(format!(
                    "{role} on {schema}.{relation}: {rights:?}, not {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 100, "only {seen} tables were looked at");
}

/// What lets a read model's role see the constraints of its tables.
#[tokio::test]
async fn a_right_to_refer_to_a_column_is_given_for_columns_that_cannot_be_referred_to() {
    let world = World::new(&[]).await;
    let found: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT r.rolname::text, n.nspname::text, c.relname || '.' || a.attname
           FROM pg_attribute a
           JOIN pg_class c ON c.oid = a.attrelid
           JOIN pg_namespace n ON n.oid = c.relnamespace
           CROSS JOIN LATERAL aclexplode(a.attacl) AS acl
           JOIN pg_roles r ON r.oid = acl.grantee
          WHERE r.rolname = ANY($1) AND acl.privilege_type = 'REFERENCES'",
    )
    .bind(ROLES.as_slice())
    .fetch_all(&world.owner)
    .await
    .unwrap();
    assert_eq!(found.len(), 14, "one for each table: {found:?}");
    for (role, schema, _) in &found {
        assert!(role == schema, "{found:?}");
    }
    for (role, table, column) in [
        ("pic", "pic.jobs", "fold_index"),
        ("pic", "pic.training", "name"),
        ("mistudio", "mistudio.models", "name"),
    ] {
        let mut owner = world.owner.acquire().await.unwrap();
        let refused = sqlx::raw_sql(AssertSqlSafe(format!(
            "BEGIN; CREATE SCHEMA theirs; GRANT ALL ON SCHEMA theirs TO {role}; SET LOCAL ROLE {role};
             CREATE TABLE theirs.mine (it text REFERENCES {table} ({column}))"
        )))
        .execute(&mut *owner)
        .await
        .unwrap_err();
        let code = refused
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        // invalid_foreign_key
        assert_eq!(code.as_deref(), Some("42830"), "{refused}");
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut *owner)
            .await
            .unwrap();
        let keyed = sqlx::raw_sql(AssertSqlSafe(format!(
            "BEGIN; CREATE SCHEMA theirs; GRANT ALL ON SCHEMA theirs TO {role}; SET LOCAL ROLE {role};
             CREATE TABLE theirs.mine (it text REFERENCES {table} (id))"
        )))
        .execute(&mut *owner)
        .await
        .unwrap_err();
        let code = keyed
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        assert_eq!(code.as_deref(), Some("42501"), "{keyed}");
        sqlx::raw_sql("ROLLBACK")
            .execute(&mut *owner)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn no_role_may_make_anything_or_take_another_role_s_place() {
    let world = World::new(&[]).await;
    let made: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.rolname::text, n.nspname::text FROM pg_roles r, pg_namespace n
          WHERE r.rolname = ANY($1) AND has_schema_privilege(r.oid, n.oid, 'CREATE')
          UNION ALL
         SELECT r.rolname::text, 'the database' FROM pg_roles r
          WHERE r.rolname = ANY($1) AND has_database_privilege(r.oid, current_database(), 'CREATE')
          UNION ALL
         SELECT r.rolname::text, concat_ws(' ', CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN rolcreaterole THEN 'createrole' END,
                CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolreplication THEN 'replication' END,
                CASE WHEN rolbypassrls THEN 'bypassrls' END, CASE WHEN rolcanlogin THEN 'login' END)
           FROM pg_roles r WHERE r.rolname = ANY($1)
            AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin)",
    )
    .bind(ROLES.as_slice())
    .fetch_all(&world.owner)
    .await
    .unwrap();
    assert!(made.is_empty(), "{made:?}");

    let member_of: Vec<(String, String)> = sqlx::query_as(
        "SELECT m.member::regrole::text, m.roleid::regrole::text FROM pg_auth_members m WHERE m.member::regrole::text = ANY($1)",
    )
    .bind(ROLES.as_slice())
    .fetch_all(&world.owner)
    .await
    .unwrap();
    assert_eq!(
        member_of,
        [("trainmaster_monitor".into(), "pg_monitor".into())]
    );
}

#[tokio::test]
async fn functions_that_work_as_the_owner_are_called_by_those_they_are_for_alone() {
    let world = World::new(&[]).await;
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT r.rolname::text, p.pronamespace::regnamespace || '.' || p.proname
           FROM pg_proc p CROSS JOIN pg_roles r
          WHERE p.prosecdef AND p.pronamespace::regnamespace::text !~ '^pg_' AND r.rolname = ANY($1)
            AND has_function_privilege(r.oid, p.oid, 'EXECUTE')",
    )
    .bind(ROLES.as_slice())
    .fetch_all(&world.owner)
    .await
    .unwrap();
    for (role, function) in &found {
        assert!(
            role == "trainmaster_monitor" && function.starts_with("monitoring."),
            "{role} may call {function}"
        );
    }
    assert_eq!(found.len(), 7, "{found:?}");
    // Changes that only the owner makes.
    for function in [
        "log.continue_after_restore()",
        "log.close_segment()",
        "monitoring.admit()",
        "monitoring.tune_queue()",
        "monitoring.pg_stat_statements_reset(oid, oid, bigint)",
    ] {
        for role in ROLES {
            let may: bool = sqlx::query_scalar("SELECT has_function_privilege($1, $2, 'EXECUTE')")
                .bind(role)
                .bind(function)
                .fetch_one(&world.owner)
                .await
                .unwrap();
            assert!(!may, "{role} may call {function}");
        }
    }
}

async fn refused(pool: &PgPool, statement: &'static str) {
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(pool).await {
        Ok(_) => panic!("{statement} is allowed"),
        Err(error) => {
            let code = error
                .as_database_error()
                .and_then(|error| error.code().map(String::from));
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
        }
    }
}

async fn works(pool: &PgPool, statement: &'static str) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(pool)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

#[tokio::test]
async fn the_daemon_appends_and_reads_and_nobody_rewrites() {
    let world = World::new(&[]).await;
    let daemon = world.member_of("trainmaster_daemon").await;
    for statement in [
        "SELECT payload FROM log.events",
        "SELECT * FROM log.append('dataset', 'ds_9', 0, 'c9', 'r9', NULL, 'test', NULL, ARRAY['DatasetRegistered'], ARRAY[1], \
         ARRAY['{}'::jsonb], ARRAY['{}'::jsonb], ARRAY[NULL::timestamptz])",
        "SELECT log.reserve_features(10)",
        "DELETE FROM log.outbox",
        "SELECT FROM apalis.jobs",
        "SELECT FROM mistudio.datasets",
    ] {
        works(&daemon, statement).await;
    }
    for statement in [
        "UPDATE log.events SET payload = '{}'",
        "DELETE FROM log.events",
        "TRUNCATE log.events",
        "DELETE FROM log.heads",
        "UPDATE log.settled_commands SET version = 7",
        "ALTER TABLE log.events DISABLE TRIGGER append_only",
        "DROP TABLE log.events",
        "CREATE TABLE log.mine (id int)",
        "SELECT log.continue_after_restore()",
        "UPDATE mistudio.datasets SET name = 'other'",
        "UPDATE projection.offsets SET events = 0",
        "DELETE FROM migrations.applied",
        "SELECT * FROM monitoring.events",
        "SET session_replication_role = replica",
    ] {
        refused(&daemon, statement).await;
    }
}

#[tokio::test]
async fn the_monitor_sees_how_things_go_and_not_what_events_say() {
    let world = World::new(&[]).await;
    let monitor = world.member_of("trainmaster_monitor").await;
    works(&monitor, "SELECT * FROM mistudio.trainings").await;
    for statement in [
        "SELECT * FROM log.events",
        "SELECT payload FROM log.events",
        "SELECT FROM log.outbox",
        "SELECT FROM apalis.jobs",
        "SELECT FROM dispatch.runs",
        "SELECT FROM projection.offsets",
        "SELECT FROM migrations.applied",
        "DELETE FROM mistudio.datasets",
        "CREATE TABLE mistudio.mine (id int)",
        "SELECT pg_read_file('postgresql.conf')",
    ] {
        refused(&monitor, statement).await;
    }
    // Everything it may see, as text.
    let views: Vec<String> = sqlx::query_scalar("SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'monitoring'::regnamespace AND relkind = 'v'")
        .fetch_all(&world.owner)
        .await
        .unwrap();
    assert!(views.len() >= 21, "{views:?}");
    for view in views
        .iter()
        .filter(|view| !view.contains("pg_stat_statements"))
    {
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT v::text FROM {view} v")))
                .fetch_all(&monitor)
                .await
                .unwrap_or_else(|error| panic!("{view}: {error}"));
        assert!(
            !rows.iter().any(|row| row.contains(SECRET_TEXT)),
            "{view}: {rows:?}"
        );
    }
}

#[tokio::test]
async fn a_monitor_that_is_made_later_is_let_in_by_one_call() {
    let world = World::new(&[]).await;
    sqlx::raw_sql("DROP OWNED BY trainmaster_monitor; DROP ROLE trainmaster_monitor")
        .execute(&world.owner)
        .await
        .unwrap();
    let admitted = |pool: PgPool| async move {
        sqlx::query_scalar::<_, bool>("SELECT monitoring.admit()")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    assert!(!admitted(world.owner.clone()).await);
    works(
        &world.owner,
        "CREATE ROLE trainmaster_monitor; GRANT pg_monitor TO trainmaster_monitor",
    )
    .await;
    assert!(admitted(world.owner.clone()).await);
    let monitor = world.member_of("trainmaster_monitor").await;
    works(
        &monitor,
        "SELECT * FROM mistudio.trainings; SELECT * FROM monitoring.events",
    )
    .await;
}
