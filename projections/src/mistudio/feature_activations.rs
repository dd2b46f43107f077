//! `feature_activations` ← ActivationsAttached, an artifact that may have millions of rows.
//!
//! Rows are copied into tables of their own first ([`stage`]), a partition each, which get their indexes and constraints there; the event
//! then only puts them in their places ([`partitions`]). So the projector prepares outside the transaction of its offset ([`prepare`]), a
//! short transaction after the other, and no reader of the log waits for a long one. What is interrupted is found by its note in
//! `projection.imports` and used, or begun anew. Whoever has not prepared does both at once.
//!
//! Ids are counted over the rows of all artifacts, imported or not. Examples of features that the artifact says nothing of stay.

mod partitions;
pub(crate) mod rows;
mod stage;

use super::{READ_MODEL, features};
use crate::{ApplyError, Serials, artifact::record_gap};
use sqlx::{AssertSqlSafe, PgConnection};
use stage::Staged;
use trainmaster_domain::{RecordedEvent, job::ActivationsAttached};

pub(super) const TABLE: &str = "feature_activations";

/// An event and the serial id of the first row that it brings.
#[derive(Clone, Copy)]
struct Incoming<'a> {
    recorded: &'a RecordedEvent,
    attached: &'a ActivationsAttached,
    first_id: i64,
}

impl<'a> Incoming<'a> {
    fn new(
        serials: &mut Serials,
        recorded: &'a RecordedEvent,
        attached: &'a ActivationsAttached,
    ) -> Self {
        let rows = usize::try_from(attached.artifact.rows).unwrap_or(0);
        Self {
            recorded,
            attached,
            first_id: serials.reserve(TABLE, rows),
        }
    }

    fn transaction(&self) -> i64 {
        i64::try_from(self.recorded.position.transaction).unwrap_or(i64::MAX)
    }

    fn sequence(&self) -> i64 {
        self.recorded.position.sequence
    }
}

/// Copies the rows of the next event into tables beside those in use, which the event will find there. `connection` is not used for
/// anything else, and is not in a transaction.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    schema: &str,
    serials: &Serials,
    recorded: &RecordedEvent,
    attached: &ActivationsAttached,
) -> Result<(), ApplyError> {
    // Rows are lost and made again together with their note: the disk need not be waited for.
    sqlx::query(
        "SELECT set_config('search_path', $1 || ', pg_temp', false), set_config('synchronous_commit', 'off', false)",
    )
    .bind(schema)
    .execute(&mut *connection)
    .await
    .map_err(ApplyError::on(TABLE))?;
    let incoming = Incoming::new(&mut serials.clone(), recorded, attached);
    if !features::has_training(connection, &attached.block).await? {
        return Ok(());
    }
    match stage::find(connection, incoming).await? {
        Some(Staged { gap: None, .. }) => Ok(()),
        _ => stage::stage(connection, incoming).await.map(drop),
    }
}

/// Puts the rows of an event in their places.
pub(super) async fn apply(
    connection: &mut PgConnection,
    serials: &mut Serials,
    recorded: &RecordedEvent,
    attached: &ActivationsAttached,
) -> Result<(), ApplyError> {
    let incoming = Incoming::new(serials, recorded, attached);
    if !features::has_training(connection, &attached.block).await? {
        return Ok(());
    }
    let staged = match stage::find(connection, incoming).await? {
        Some(staged) => staged,
        None => stage::stage(connection, incoming).await?,
    };
    partitions::put(connection, &attached.block, &staged.partitions).await?;
    stage::forget(connection).await?;
    if let Some(reason) = staged.gap {
        record_gap(
            connection,
            READ_MODEL,
            recorded,
            &attached.block.training_id,
            &attached.artifact,
            &reason,
        )
        .await?;
    }
    Ok(())
}

/// Statements whose names and numbers are the program's own.
async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), ApplyError> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await
        .map_err(ApplyError::on(TABLE))?;
    Ok(())
}
