//! Where the tables in use were not what the events make: told loudly, and kept until they are found to be the same again.

use super::{ProjectorError, compare::TableRows};
use crate::telemetry::instruments;
use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;
use serde::Serialize;
use sqlx::{PgPool, Row};
use tracing::error;
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;
use utoipa::ToSchema;

/// A table in use that was not what the events make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// Its rows.
    pub live_rows: i64,
    /// The rows that the events make.
    pub built_rows: i64,
    /// The first id whose rows differ.
    pub first_id: Option<String>,
    /// Where both stood.
    #[schema(value_type = String)]
    pub position: Position,
    /// When they were compared.
    pub found_at: DateTime<Utc>,
    /// Whether the tables in use were replaced right after.
    pub mended: bool,
}

/// Says what comparing has found; `mended`: what differs is replaced.
pub(super) async fn record(
    owner: &PgPool,
    read_model: ReadModel,
    position: Position,
    tables: &[TableRows],
    mended: bool,
) -> Result<(), ProjectorError> {
    let failed = || ProjectorError::database("note what differs");
    let mut transaction = super::rebuild::begin(owner, "note what differs").await?;
    sqlx::query("DELETE FROM projection.differences WHERE read_model = $1")
        .bind(read_model.name())
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
    let mut count = 0;
    for rows in tables.iter().filter(|rows| rows.differs()) {
        count += 1;
        let first_id = rows
            .first_difference
            .as_ref()
            .map(|first| first.id.as_str());
        error!(
            %read_model,
            table = rows.table,
            live_rows = rows.before,
            built_rows = rows.after,
            first_id,
            %position,
            mended,
            "READ MODEL DIFFERS from what its events make: unless somebody has written to it by hand, report it; \
             `trainmaster projections rebuild` replaces it"
        );
        sqlx::query(
            "INSERT INTO projection.differences (read_model, table_name, live_rows, built_rows, first_id, transaction_id, sequence, mended)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(read_model.name())
        .bind(rows.table)
        .bind(rows.before.unwrap_or(0))
        .bind(rows.after)
        .bind(first_id)
        .bind(i64::try_from(position.transaction).unwrap_or(i64::MAX))
        .bind(position.sequence)
        .bind(mended)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
    }
    super::rebuild::commit(transaction, "note what differs").await?;
    measure(read_model, if mended { 0 } else { count });
    Ok(())
}

/// As a metric.
pub(super) fn measure(read_model: ReadModel, tables: u64) {
    instruments()
        .projection_differences
        .record(tables, &[KeyValue::new("read_model", read_model.name())]);
}

/// What was found when it was last compared.
pub(super) async fn look(
    owner: &PgPool,
    read_model: ReadModel,
) -> Result<Vec<Difference>, ProjectorError> {
    let failed = || ProjectorError::database("look for differences");
    sqlx::query("SELECT * FROM projection.differences WHERE read_model = $1 ORDER BY table_name")
        .bind(read_model.name())
        .fetch_all(owner)
        .await
        .map_err(failed())?
        .iter()
        .map(|row| {
            let transaction: i64 = row.try_get("transaction_id")?;
            Ok(Difference {
                table: row.try_get("table_name")?,
                live_rows: row.try_get("live_rows")?,
                built_rows: row.try_get("built_rows")?,
                first_id: row.try_get("first_id")?,
                position: Position {
                    transaction: transaction.unsigned_abs(),
                    sequence: row.try_get("sequence")?,
                },
                found_at: row.try_get("found_at")?,
                mended: row.try_get("mended")?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()
        .map_err(failed())
}
