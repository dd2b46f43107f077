//! What a read model lacks, or has and should not.

use super::ProjectorError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool, Row};
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;
use utoipa::ToSchema;

/// An artifact whose rows a read model lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Gap {
    /// The event that names it.
    #[schema(value_type = String)]
    pub position: Position,
    /// The event's type.
    pub event: String,
    /// The file.
    pub artifact: String,
    /// What is wrong with it.
    pub reason: String,
    /// When that was found.
    pub found_at: DateTime<Utc>,
}

/// The gaps of a schema, in the order of the log.
pub(super) async fn of(owner: &PgPool, schema: &str) -> Result<Vec<Gap>, ProjectorError> {
    let failed = || ProjectorError::database(format!("read the gaps of {schema}"));
    let rows = sqlx::query(
        "SELECT transaction_id, sequence, event, artifact, reason, found_at FROM projection.gaps
          WHERE schema_name = $1 ORDER BY transaction_id, sequence LIMIT 100",
    )
    .bind(schema)
    .fetch_all(owner)
    .await
    .map_err(failed())?;
    rows.iter()
        .map(|row| {
            let transaction: i64 = row.try_get("transaction_id")?;
            Ok(Gap {
                position: Position {
                    transaction: transaction.unsigned_abs(),
                    sequence: row.try_get("sequence")?,
                },
                event: row.try_get("event")?,
                artifact: row.try_get("artifact")?,
                reason: row.try_get("reason")?,
                found_at: row.try_get("found_at")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(failed())
}

/// Rows of the DEFAULT partition, counted up to 1,000; 0 where there are no tables yet.
pub(super) async fn stray_activations(
    owner: &PgPool,
    read_model: ReadModel,
) -> Result<i64, ProjectorError> {
    let schema = read_model.name();
    let failed =
        || ProjectorError::database(format!("look into {schema}.feature_activations_default"));
    let table = format!("{schema}.feature_activations_default");
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(&table)
        .fetch_one(owner)
        .await
        .map_err(failed())?;
    if !exists {
        return Ok(0);
    }
    // The name is the program's own.
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM (SELECT FROM {table} LIMIT 1000) AS stray"
    )))
    .fetch_one(owner)
    .await
    .map_err(failed())
}
