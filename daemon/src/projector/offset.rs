//! The row of `projection.offsets`: how far a schema has come.

use super::ProjectorError;
use sqlx::{PgConnection, PgExecutor, Row, postgres::PgRow, types::Json};
use trainmaster_domain::{Position, RecordedEvent};
use trainmaster_projections::{ReadModel, Serials};

/// How far the rows of a schema have come.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Offset {
    pub(super) version: String,
    pub(super) position: Position,
    pub(super) events: i64,
    pub(super) serials: Serials,
    pub(super) stopped_because: Option<String>,
    /// The event that is to blame.
    pub(super) stopped_by: Option<Position>,
}

impl Offset {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let transaction: i64 = row.try_get("transaction_id")?;
        let Json(serials) = row.try_get("serials")?;
        Ok(Self {
            version: row.try_get("version")?,
            position: Position {
                transaction: u64::try_from(transaction)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?,
                sequence: row.try_get("sequence")?,
            },
            events: row.try_get("events")?,
            serials,
            stopped_because: row.try_get("stopped_because")?,
            stopped_by: row
                .try_get::<Option<i64>, _>("stopped_transaction_id")?
                .zip(row.try_get("stopped_sequence")?)
                .map(|(transaction, sequence)| Position {
                    transaction: transaction.unsigned_abs(),
                    sequence,
                }),
        })
    }

    /// Moves on past `events`.
    pub(super) fn advance(&mut self, events: &[RecordedEvent]) {
        if let Some(last) = events.last() {
            self.position = last.position;
        }
        self.events = self
            .events
            .saturating_add(i64::try_from(events.len()).unwrap_or(i64::MAX));
    }
}

/// The offset of a schema, if it has one.
pub(super) async fn find(
    executor: impl PgExecutor<'_>,
    schema: &str,
) -> Result<Option<Offset>, ProjectorError> {
    sqlx::query("SELECT * FROM projection.offsets WHERE schema_name = $1")
        .bind(schema)
        .fetch_optional(executor)
        .await
        .and_then(|row| row.as_ref().map(Offset::from_row).transpose())
        .map_err(ProjectorError::database(format!(
            "read the offset of {schema}"
        )))
}

/// The same, locked until the transaction ends, in which the tables of `schema` go by their bare names from here on.
pub(super) async fn lock(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Option<Offset>, ProjectorError> {
    sqlx::query(
        "SELECT *, set_config('search_path', $1 || ', pg_temp', true)
           FROM projection.offsets WHERE schema_name = $1 FOR UPDATE",
    )
    .bind(schema)
    .fetch_optional(connection)
    .await
    .and_then(|row| row.as_ref().map(Offset::from_row).transpose())
    .map_err(ProjectorError::database(format!(
        "lock the offset of {schema}"
    )))
}

/// The offset of tables that have just been made.
pub(super) async fn begin(
    connection: &mut PgConnection,
    read_model: ReadModel,
    schema: &str,
) -> Result<(), ProjectorError> {
    sqlx::query(
        "INSERT INTO projection.offsets (schema_name, read_model, version, transaction_id, sequence, events, serials)
         VALUES ($1, $2, $3, 0, 0, 0, '{}')",
    )
    .bind(schema)
    .bind(read_model.name())
    .bind(read_model.version())
    .execute(connection)
    .await
    .map_err(ProjectorError::database(format!("begin the offset of {schema}")))?;
    Ok(())
}

/// Writes where a schema has come to; what stopped it before no longer does.
pub(super) async fn save(
    connection: &mut PgConnection,
    schema: &str,
    offset: &Offset,
) -> Result<(), ProjectorError> {
    sqlx::query(
        "UPDATE projection.offsets
            SET transaction_id = $2, sequence = $3, events = $4, serials = $5, updated_at = clock_timestamp(),
                stopped_at = NULL, stopped_because = NULL, stopped_transaction_id = NULL, stopped_sequence = NULL
          WHERE schema_name = $1",
    )
    .bind(schema)
    .bind(i64::try_from(offset.position.transaction).unwrap_or(i64::MAX))
    .bind(offset.position.sequence)
    .bind(offset.events)
    .bind(Json(&offset.serials))
    .execute(connection)
    .await
    .map_err(ProjectorError::database(format!("write the offset of {schema}")))?;
    Ok(())
}

/// Says that a schema stays where it stands, because of the event at `by`; unless it has moved on from there meanwhile, when that is known.
pub(super) async fn stop(
    executor: impl PgExecutor<'_>,
    schema: &str,
    position: Option<Position>,
    by: Option<Position>,
    because: &str,
) -> Result<(), ProjectorError> {
    sqlx::query(
        "UPDATE projection.offsets
            SET stopped_at = clock_timestamp(), stopped_because = $4, stopped_transaction_id = $5, stopped_sequence = $6
          WHERE schema_name = $1 AND (transaction_id, sequence) = (COALESCE($2, transaction_id), COALESCE($3, sequence))",
    )
    .bind(schema)
    .bind(position.map(|at| i64::try_from(at.transaction).unwrap_or(i64::MAX)))
    .bind(position.map(|at| at.sequence))
    .bind(because)
    .bind(by.map(|at| i64::try_from(at.transaction).unwrap_or(i64::MAX)))
    .bind(by.map(|at| at.sequence))
    .execute(executor)
    .await
    .map_err(ProjectorError::database(format!(
        "note that {schema} has stopped"
    )))?;
    Ok(())
}
