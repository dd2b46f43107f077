//! Tables that hold the present state of something, mostly a row a stream: the rows concerned are read once, all events are
//! applied in memory, and the rows are written once.

use crate::ApplyError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, postgres::PgRow};
use std::{borrow::Cow, collections::BTreeMap};
use trainmaster_domain::{Position, RecordedEvent, StreamId};

/// An event of one kind of stream, with what a row needs to know of where and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened<'a, E> {
    pub(crate) stream: &'a StreamId,
    pub(crate) position: Position,
    pub(crate) at: DateTime<Utc>,
    pub(crate) event: &'a E,
    pub(crate) event_type: &'static str,
}

impl<'a, E> Happened<'a, E> {
    /// `event`, or the part of it that matters to a table, where and when it was recorded.
    pub(crate) fn new(recorded: &'a RecordedEvent, event: &'a E) -> Self {
        Self {
            stream: &recorded.stream,
            position: recorded.position,
            at: recorded.recorded_at,
            event,
            event_type: recorded.event.event_type(),
        }
    }
}

/// Events that follow one another, as they are to be applied.
pub(crate) enum Piece<'a> {
    /// In its place in the log: what it does depends on what others have said before.
    Alone(&'a RecordedEvent),
    /// At once, however many.
    Together(&'a [RecordedEvent]),
}

/// Divides events, in their order.
pub(crate) fn pieces(
    events: &[RecordedEvent],
    is_alone: fn(&RecordedEvent) -> bool,
) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let (first, after) = rest.split_first()?;
        if is_alone(first) {
            rest = after;
            return Some(Piece::Alone(first));
        }
        let length = rest.iter().take_while(|next| !is_alone(next)).count();
        let (together, after) = rest.split_at(length);
        rest = after;
        Some(Piece::Together(together))
    })
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
    /// The id of the row that an event is about: that of its stream, where nothing else is said; none when it is about none.
    fn of<'a>(happened: &Happened<'a, Self::Event>) -> Option<Cow<'a, str>> {
        Some(Cow::Borrowed(&happened.stream.id))
    }
    /// The row that a first event makes; none when it is not such an event.
    fn first(id: &str, event: &Self::Event, at: DateTime<Utc>) -> Option<Self>;
    /// What any further event changes.
    fn then(&mut self, event: &Self::Event, at: DateTime<Utc>);
    /// Whether an event may be about a row that is not there, or not any more; it changes nothing then.
    fn may_be_gone(_event: &Self::Event) -> bool {
        false
    }
}

pub(crate) async fn fold<R: Row>(
    connection: &mut PgConnection,
    events: &[Happened<'_, R::Event>],
) -> Result<(), ApplyError> {
    let told: Vec<_> = events
        .iter()
        .filter_map(|happened| Some((R::of(happened)?, happened)))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<&str> = told.iter().map(|(id, _)| id.as_ref()).collect();
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
    for (id, happened) in &told {
        if let Some(row) = rows.get_mut(id.as_ref()) {
            row.then(happened.event, happened.at);
        } else if let Some(row) = R::first(id, happened.event, happened.at) {
            rows.insert(id.as_ref().to_owned(), row);
        } else if !R::may_be_gone(happened.event) {
            return Err(ApplyError::NoRow {
                table: R::TABLE,
                event: happened.event_type,
                position: happened.position,
                stream: happened.stream.clone(),
            });
        }
    }
    if rows.is_empty() {
        return Ok(());
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
