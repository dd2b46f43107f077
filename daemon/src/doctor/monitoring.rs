//! How does the database do? The queries are those of `ops/monitoring`, which people and dashboards use too.

mod judge;

use super::Report;
use crate::database::Database;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A row of a query.
type Row = Value;

/// A query, and what is thought of its rows.
struct Probe {
    name: &'static str,
    sql: &'static str,
    judge: fn(&mut Report, &'static str, &[Row]),
}

macro_rules! probes {
    ($($file:ident),+ $(,)?) => {
        [$(Probe {
            name: concat!("monitoring.", stringify!($file)),
            sql: include_str!(concat!("../../../ops/monitoring/", stringify!($file), ".sql")),
            judge: judge::$file,
        }),+]
    };
}

const PROBES: [Probe; 17] = probes![
    connections,
    database_sizes,
    table_sizes,
    cache_hits,
    slow_statements,
    unused_indexes,
    dead_rows,
    bloat,
    archiver,
    replication,
    long_transactions,
    waiting_locks,
    transaction_ids,
    outbox,
    queue,
    projections,
    stray_rows,
];

pub(super) async fn examine(report: &mut Report, database: &Database) {
    let Ok(mut connection) = database.owner_pool().acquire().await else {
        return;
    };
    let is_there = sqlx::query_scalar("SELECT to_regprocedure('monitoring.admit()') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await;
    if !matches!(is_there, Ok(true)) {
        report.warning(
            "monitoring",
            "the views that it takes are not there",
            "trainmaster migrate up, or start the daemon, which does it",
        );
        return;
    }
    role(report, &mut connection).await;
    for probe in &PROBES {
        match rows(&mut connection, probe.sql).await {
            Ok(rows) => (probe.judge)(report, probe.name, &rows),
            Err(error) => report.warning(
                probe.name,
                error.to_string(),
                "look again; a table that is locked, by VACUUM FULL for one, cannot be measured",
            ),
        }
    }
}

/// In a transaction that can change nothing, and that waits neither for long nor for locks.
async fn rows(connection: &mut PgConnection, sql: &'static str) -> Result<Vec<Row>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(
        "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = '15s'; SET LOCAL lock_timeout = '2s'",
    )
    .execute(&mut *transaction)
    .await?;
    let query = sql.trim_end().trim_end_matches(';');
    let rows = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT to_jsonb(asked) FROM (\n{query}\n) AS asked"
    )))
    .fetch_all(&mut *transaction)
    .await;
    transaction.rollback().await?;
    rows
}

async fn role(report: &mut Report, connection: &mut PgConnection) {
    let found: Result<Option<bool>, _> = sqlx::query_scalar(
        "SELECT pg_has_role(oid, 'pg_monitor', 'MEMBER') FROM pg_roles WHERE rolname = 'trainmaster_monitor'",
    )
    .fetch_optional(connection)
    .await;
    let name = "monitoring.role";
    match found {
        Ok(Some(true)) => report.ok(name, "trainmaster_monitor may watch: GRANT it to who does"),
        Ok(Some(false)) => report.warning(
            name,
            "trainmaster_monitor sees its own sessions and statements only",
            "as a superuser: GRANT pg_monitor TO trainmaster_monitor",
        ),
        Ok(None) => report.warning(
            name,
            "there is no role trainmaster_monitor",
            "as a superuser: CREATE ROLE trainmaster_monitor; GRANT pg_monitor TO trainmaster_monitor; then as the owner: SELECT monitoring.admit()",
        ),
        Err(error) => report.warning(name, error.to_string(), "see the server's log"),
    }
}
