//! A read model's tables in a database of the test's own.
#![allow(dead_code, reason = "each test binary uses a part")]

use sqlx::{AssertSqlSafe, PgPool};
use trainmaster_domain::RecordedEvent;
use trainmaster_projections::{ApplyError, ReadModel, Serials};

pub const MISTUDIO: ReadModel = ReadModel::MISTUDIO;
pub const PIC: ReadModel = ReadModel::PIC;

/// Makes the tables of a read model in a schema of that name.
pub async fn create(pool: &PgPool, read_model: ReadModel, schema: &str) {
    let mut transaction = pool.begin().await.unwrap();
    let is_first: bool = sqlx::query_scalar("SELECT to_regnamespace('projection') IS NULL")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    if is_first {
        for part in [
            include_str!("../../../migrations/projection/0001_offsets.up.sql"),
            include_str!("../../../migrations/projection/0002_artifacts.up.sql"),
            include_str!("../../../migrations/projection/0003_gaps_of_trainings.up.sql"),
        ] {
            sqlx::raw_sql(part)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
    }
    sqlx::raw_sql(AssertSqlSafe(format!(
        "CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}"
    )))
    .execute(&mut *transaction)
    .await
    .unwrap();
    for part in read_model.ddl() {
        sqlx::raw_sql(*part)
            .execute(&mut *transaction)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
}

/// Applies events in one transaction; what fails leaves no trace.
pub async fn apply(
    pool: &PgPool,
    read_model: ReadModel,
    schema: &str,
    serials: &mut Serials,
    events: &[RecordedEvent],
) -> Result<(), ApplyError> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query("SELECT set_config('search_path', $1, true)")
        .bind(schema)
        .execute(&mut *transaction)
        .await
        .unwrap();
    read_model.apply(&mut transaction, serials, events).await?;
    transaction.commit().await.unwrap();
    Ok(())
}

/// Every column of every row of a table, as JSON, ordered by its key.
pub async fn rows(
    pool: &PgPool,
    read_model: ReadModel,
    schema: &str,
    table: &str,
) -> Vec<serde_json::Value> {
    let key = read_model.key(table);
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT to_jsonb(t) FROM {schema}.{table} t ORDER BY {key}"
    )))
    .fetch_all(pool)
    .await
    .unwrap()
}
