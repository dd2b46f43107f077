//! Tables that hold the present state of something, a row a stream: the rows concerned are read once, all events are
//! applied in memory, and the rows are written once.

use crate::ApplyError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, postgres::PgRow};
use std::collections::BTreeMap;
use trainmaster_domain::{Position, StreamId};

/// An event of one kind of stream, with what a row needs to know of where and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened<'a, E> {
    pub(crate) stream: &'a StreamId,
    pub(crate) position: Position,
    pub(crate) at: DateTime<Utc>,
    pub(crate) event: &'a E,
    pub(crate) event_type: &'static str,
}

/// A row of such a table. Its JSON has the columns' names.
pub(crate) trait Row: Serialize + Send + Unpin + for<'r> FromRow<'r, PgRow> {
    type Event: Sync;
    const TABLE: &'static str;
    /// The rows of the ids in `$1`.
    const SELECT: &'static str;
    /// Inserts or updates the rows in the JSON array `$1`.
    const UPSERT: &'static str;

    fn id(&self) -> &str;
    /// The row that a stream's first event makes; none when it is not such an event.
    fn first(id: &str, event: &Self::Event, at: DateTime<Utc>) -> Option<Self>;
    /// What any further event changes.
    fn then(&mut self, event: &Self::Event, at: DateTime<Utc>);
    /// Whether events may come to a row that is gone with another one; they change nothing.
    fn may_be_gone() -> bool {
        false
    }
}

pub(crate) async fn fold<R: Row>(
    connection: &mut PgConnection,
    events: &[Happened<'_, R::Event>],
) -> Result<(), ApplyError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<&str> = events.iter().map(|e| e.stream.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let found: Vec<R> = sqlx::query_as(R::SELECT)
        .bind(&ids)
        .fetch_all(&mut *connection)
        .await
        .map_err(ApplyError::on(R::TABLE))?;
    let mut rows: BTreeMap<String, R> = found
        .into_iter()
        .map(|row| (row.id().to_owned(), row))
        .collect();
    for happened in events {
        let id = happened.stream.id.as_str();
        if let Some(row) = rows.get_mut(id) {
            row.then(happened.event, happened.at);
        } else if let Some(row) = R::first(id, happened.event, happened.at) {
            rows.insert(id.to_owned(), row);
        } else if !R::may_be_gone() {
            return Err(ApplyError::NoRow {
                table: R::TABLE,
                event: happened.event_type,
                position: happened.position,
                stream: happened.stream.clone(),
            });
        }
    }
    let rows: Vec<R> = rows.into_values().collect();
    let json = serde_json::to_value(rows).map_err(|source| ApplyError::Json {
        table: R::TABLE,
        source,
    })?;
    sqlx::query(R::UPSERT)
        .bind(json)
        .execute(connection)
        .await
        .map_err(ApplyError::on(R::TABLE))?;
    Ok(())
}
