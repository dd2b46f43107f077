//! An event that brings more rows than a transaction should write is prepared outside the transaction of its offset, in short ones: a
//! long one would keep every reader of the log waiting.

use super::{ProjectorError, offset};
use sqlx::{PgConnection, PgPool};
use trainmaster_domain::{Position, RecordedEvent};
use trainmaster_projections::ReadModel;

/// Writes the rows of `event`, which follows `after`, beside the tables of `schema`; unless somebody else has moved the tables on. Whoever
/// prepares the same at the same time waits, and finds it done.
pub(super) async fn prepare(
    owner: &PgPool,
    read_model: ReadModel,
    schema: &str,
    after: Position,
    event: &RecordedEvent,
) -> Result<(), ProjectorError> {
    let failed = || ProjectorError::database(format!("prepare an import to {schema}"));
    // Its lock and its settings go with the connection, however this ends.
    let mut connection: PgConnection = owner.acquire().await.map_err(failed())?.detach();
    sqlx::query("SELECT pg_advisory_lock(hashtextextended('trainmaster import ' || $1, 0))")
        .bind(schema)
        .execute(&mut connection)
        .await
        .map_err(failed())?;
    let Some(offset) = offset::find(&mut connection, schema).await? else {
        return Ok(());
    };
    if offset.version != read_model.version() || offset.position != after {
        return Ok(());
    }
    read_model
        .prepare(&mut connection, schema, &offset.serials, event)
        .await
        .map_err(|source| ProjectorError::Apply {
            read_model,
            first: event.position,
            count: 1,
            source,
        })
}
