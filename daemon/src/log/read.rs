//! Reading: the whole log in its order, one stream, one aggregate.

use super::{Log, LogError, archived, row};
use sqlx::{Row, postgres::PgRow};
use tracing::instrument;
use trainmaster_domain::{Aggregate, Position, RecordedEvent, StreamId};

/// How many events of a stream are fetched at once: bounds the memory of loading a long one.
const PAGE: usize = 1000;

/// An aggregate as its events tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded<A> {
    /// Its state; the default when there are no events.
    pub state: A,
    /// The version of its last event; 0 when there is none.
    pub version: u64,
}

impl<A: Aggregate> Loaded<A> {
    /// Applies the event that follows.
    pub(super) fn apply(&mut self, stream: &StreamId, event: &A::Event) -> Result<(), LogError> {
        self.version += 1;
        self.state
            .evolve(event)
            .map_err(|source| LogError::Illegal {
                stream: stream.clone(),
                version: self.version,
                source,
            })
    }
}

impl Log {
    /// Up to `limit` events after a position, in the log's order. Call after call this skips none, whatever order transactions
    /// commit in: an event whose transaction began before one that is still open comes later.
    ///
    /// # Errors
    /// [`LogError`].
    #[instrument(level = "debug", skip_all, fields(%after, limit), err(level = "debug"))]
    pub async fn read(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let mut events = Vec::new();
        let mut after = after;
        loop {
            let known = self.archive.to();
            if transaction(after) < known {
                let found = self.read_archived(after, limit - events.len()).await?;
                after = found.last().map_or(after, |last| last.position);
                events.extend(found);
            }
            if events.len() >= limit {
                return Ok(events);
            }
            let rows = sqlx::query(concat!(
                "WITH archive AS MATERIALIZED (SELECT log.archived_to() AS archived_to) \
                 SELECT archive.archived_to, found.* FROM archive LEFT JOIN LATERAL (SELECT ",
                row::columns!(),
                " FROM log.events WHERE (transaction_id, sequence) > ($1, $2) AND transaction_id >= $1 \
                 AND transaction_id >= archive.archived_to AND transaction_id < (SELECT log.horizon()) \
                 ORDER BY transaction_id, sequence LIMIT $3) AS found ON true ORDER BY transaction_id, sequence"
            ))
            .bind(transaction(after))
            .bind(after.sequence)
            .bind(i64::try_from(limit - events.len()).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(LogError::database(format!("read the log after {after}")))?;
            let archived_to = archived::divide(&rows)?;
            self.learn(archived_to).await?;
            // Some of what comes next has left the table since it was known which files there are.
            if archived_to > known && transaction(after) < archived_to {
                continue;
            }
            for row in archived::found(&rows) {
                events.push(row::event(row)?);
            }
            return Ok(events);
        }
    }

    /// Up to `limit` events of a stream after a version, as soon as they are committed.
    ///
    /// # Errors
    /// [`LogError`].
    #[instrument(level = "debug", skip_all, fields(%stream, after_version, limit), err(level = "debug"))]
    pub async fn read_stream(
        &self,
        stream: &StreamId,
        after_version: u64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let after = i64::try_from(after_version).unwrap_or(i64::MAX);
        // Nearly always what is new in a stream is in the open segment alone.
        let rows = self
            .stream_rows(
                concat!(
                    "SELECT coalesce((SELECT version FROM log.closed_streams WHERE category = $1 AND stream_id = $2 \
                     ORDER BY segment DESC LIMIT 1), 0) AS closed, found.* \
                     FROM (SELECT) AS one LEFT JOIN LATERAL (SELECT ",
                    row::columns!(),
                    " FROM log.open_events WHERE category = $1 AND stream_id = $2 AND version > $3 \
                     ORDER BY version LIMIT $4) AS found ON true ORDER BY version"
                ),
                stream,
                after,
                limit,
            )
            .await?;
        let failed = LogError::database;
        let closed: i64 = match rows.first() {
            Some(row) => row
                .try_get("closed")
                .map_err(failed(format!("read {stream}")))?,
            None => 0,
        };
        let first: Option<i64> = match archived::found(&rows).next() {
            Some(row) => Some(
                row.try_get("version")
                    .map_err(failed(format!("read {stream}")))?,
            ),
            None => None,
        };
        if first.map_or(closed <= after, |first| first <= after.saturating_add(1)) {
            return archived::found(&rows).map(row::event).collect();
        }
        self.read_closed_stream(stream, after, limit).await
    }

    /// An aggregate as it is now. Reads those of its events that were not read lately, of a long stream those after its last snapshot.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn load<A: Aggregate>(&self, id: &str) -> Result<Loaded<A>, LogError> {
        let stream = StreamId::new(A::CATEGORY, id);
        let mut loaded = self.states.newest::<A>(&stream);
        let known = loaded.version;
        let mut written_down = 0;
        loop {
            let page = self.read_stream(&stream, loaded.version, PAGE).await?;
            let is_last = page.len() < PAGE;
            if !is_last && loaded.version == 0 {
                // A long one, of which nothing is known: somebody may have read it before.
                let begun = page.last().map_or(0, |recorded| recorded.version);
                if let Some(snapshot) = self.snapshot(&stream, begun).await {
                    written_down = snapshot.version;
                    loaded = snapshot;
                    continue;
                }
            }
            for recorded in page {
                let version = recorded.version;
                let event = A::Event::try_from(recorded.event).map_err(|_| LogError::Foreign {
                    stream: stream.clone(),
                    version,
                })?;
                loaded.apply(&stream, &event)?;
                if loaded.version != version {
                    return Err(LogError::Gap { stream, version });
                }
            }
            if is_last {
                break;
            }
        }
        if loaded.version > known {
            self.states.keep(&stream, loaded.clone());
            self.states.taken(&stream, written_down);
        }
        Ok(loaded)
    }

    /// Where the next event after a position stands, whether or not this program can read the event; none when it may be in the archive.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn next_position(&self, after: Position) -> Result<Option<Position>, LogError> {
        let attempt = || format!("read the log after {after}");
        sqlx::query(
            "SELECT transaction_id, sequence FROM log.events \
             WHERE (transaction_id, sequence) > ($1, $2) AND transaction_id < (SELECT log.horizon()) \
               AND $1 >= (SELECT log.archived_to()) \
             ORDER BY transaction_id, sequence LIMIT 1",
        )
        .bind(transaction(after))
        .bind(after.sequence)
        .fetch_optional(&self.pool)
        .await
        .map_err(LogError::database(attempt()))?
        .as_ref()
        .map(position)
        .transpose()
        .map_err(LogError::database(attempt()))
    }

    /// Whether an event stands at a position or after it, be it one that readers must still wait for.
    ///
    /// # Errors
    /// [`LogError::Database`].
    pub async fn reaches(&self, position: Position) -> Result<bool, LogError> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM log.events WHERE (transaction_id, sequence) >= ($1, $2)) \
             OR EXISTS (SELECT FROM log.segments WHERE (last_transaction_id, last_sequence) >= ($1, $2))",
        )
        .bind(transaction(position))
        .bind(position.sequence)
        .fetch_one(&self.pool)
        .await
        .map_err(LogError::database(format!("see whether the log reaches {position}")))
    }

    /// The last position that a reader may see now; [`Position::START`] when there is none.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn head(&self) -> Result<Position, LogError> {
        let row = sqlx::query(
            "SELECT transaction_id, sequence FROM log.events WHERE transaction_id < (SELECT log.horizon()) \
             ORDER BY transaction_id DESC, sequence DESC LIMIT 1",
        )
        .fetch_optional(&self.pool)
        .await
        .map_err(LogError::database("read the end of the log"))?;
        row.as_ref().map_or(Ok(Position::START), |row| {
            position(row).map_err(LogError::database("read the end of the log"))
        })
    }
}

pub(super) fn position(row: &PgRow) -> Result<Position, sqlx::Error> {
    Ok(Position {
        transaction: u64::try_from(row.try_get::<i64, _>("transaction_id")?)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        sequence: row.try_get("sequence")?,
    })
}

/// As the column holds it. What lies beyond `i64` lies beyond every event.
pub(super) fn transaction(position: Position) -> i64 {
    i64::try_from(position.transaction).unwrap_or(i64::MAX)
}
