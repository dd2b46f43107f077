//! What a read model lacks, or has and should not.

use super::ProjectorError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{AssertSqlSafe, PgPool, Row};
use trainmaster_domain::Position;
use trainmaster_projections::{Imports, ReadModel};
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

/// What a read model in use lacks, in the order of the log, and how many imported rows belong to no partition, counted up to
/// 1,000. Before there are tables, nothing is amiss.
pub(super) async fn look(
    owner: &PgPool,
    read_model: ReadModel,
) -> Result<(Vec<Gap>, i64), ProjectorError> {
    let schema = read_model.name();
    let failed = || ProjectorError::database(format!("look for the gaps of {schema}"));
    let Some(Imports { stray, .. }) = read_model.imports() else {
        return Ok((vec![], 0));
    };
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(format!("{schema}.{stray}"))
        .fetch_one(owner)
        .await
        .map_err(failed())?;
    if !is_there {
        return Ok((vec![], 0));
    }
    let stray = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM (SELECT FROM {schema}.{stray} LIMIT 1000) AS stray"
    )))
    .fetch_one(owner)
    .await
    .map_err(failed())?;
    Ok((of(owner, read_model, schema).await?, stray))
}

/// What the tables of a schema lack.
pub(super) async fn of(
    owner: &PgPool,
    read_model: ReadModel,
    schema: &str,
) -> Result<Vec<Gap>, ProjectorError> {
    let Some(Imports { subject, .. }) = read_model.imports() else {
        return Ok(vec![]);
    };
    let failed = || ProjectorError::database(format!("look for the gaps of {schema}"));
    // The schema's name is the program's own.
    let rows = sqlx::query(AssertSqlSafe(format!(
        "SELECT transaction_id, sequence, event, artifact, reason, found_at FROM projection.gaps
          WHERE schema_name = $1
            AND (training_id IS NULL OR EXISTS (SELECT FROM {schema}.{subject} t WHERE t.id = training_id))
          ORDER BY transaction_id, sequence
          LIMIT 100"
    )))
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
