//! What a database wants done once a week: its statistics and dead rows, and its indexes.

use crate::database::Database;
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgConnection};

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Maintained {
    /// Tables whose dead rows were cleared and whose statistics were taken anew.
    pub tables: u64,
    /// Bytes of the database before.
    pub bytes_before: i64,
    /// And after.
    pub bytes_after: i64,
    /// Indexes that an interrupted build had left unusable, and that were built anew.
    pub rebuilt: Vec<String>,
    /// Indexes of over a megabyte that no query has used since the statistics began.
    pub unused: Vec<String>,
}

/// VACUUM (ANALYZE) of every table, one at a time, so that none is long in the way of another; then unusable indexes anew, and what is
/// unused is named. Readers and writers go on.
///
/// # Errors
/// The database refuses.
pub async fn maintain(
    database: &Database,
    mut told: impl FnMut(&str),
) -> Result<Maintained, sqlx::Error> {
    let mut connection = database.owner_pool().acquire().await?;
    sqlx::query("SET statement_timeout = 0")
        .execute(&mut *connection)
        .await?;
    let mut done = Maintained {
        bytes_before: size(&mut connection).await?,
        ..Maintained::default()
    };
    let tables: Vec<String> = sqlx::query_scalar(include_str!("maintenance/tables.sql"))
        .fetch_all(&mut *connection)
        .await?;
    for table in tables {
        told(&table);
        execute(&mut connection, format!("VACUUM (ANALYZE) {table}")).await?;
        done.tables += 1;
    }
    let invalid: Vec<String> = sqlx::query_scalar(include_str!("maintenance/invalid.sql"))
        .fetch_all(&mut *connection)
        .await?;
    for index in invalid {
        told(&index);
        execute(
            &mut connection,
            format!("REINDEX INDEX CONCURRENTLY {index}"),
        )
        .await?;
        done.rebuilt.push(index);
    }
    done.unused = sqlx::query_scalar(include_str!("maintenance/unused.sql"))
        .fetch_all(&mut *connection)
        .await?;
    done.bytes_after = size(&mut connection).await?;
    sqlx::query("RESET statement_timeout")
        .execute(&mut *connection)
        .await?;
    Ok(done)
}

async fn size(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_database_size(current_database())")
        .fetch_one(connection)
        .await
}

/// The names in these statements were quoted by the server.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await
        .map(drop)
}
