//! Reading what has left the open segment: for closed ones that are in the table, or for the archive.

use super::{
    Log, LogError,
    read::{position, transaction},
    row,
};
use crate::archive::Filter;
use sqlx::{Row, postgres::PgRow};
use trainmaster_domain::{Position, RecordedEvent, StreamId};

impl Log {
    /// Where the table begins: every event at a lower position is in the archive alone, except for some that the table keeps.
    /// Statements of one's own about the whole history ask `log.events` for rows with `transaction_id >= log.archived_to()`.
    ///
    /// # Errors
    /// [`LogError::Database`].
    pub async fn table_begins(&self) -> Result<Position, LogError> {
        let to: i64 = sqlx::query_scalar("SELECT log.archived_to()")
            .fetch_one(&self.pool)
            .await
            .map_err(LogError::database("ask where the log's table begins"))?;
        Ok(Position {
            transaction: to.unsigned_abs(),
            sequence: 0,
        })
    }

    /// Compares the files of all archived segments with what the database has noted of them, byte by byte, and says how many there are.
    ///
    /// # Errors
    /// [`LogError::Archive`] names the first one that is missing or damaged.
    pub async fn check_archive(&self) -> Result<usize, LogError> {
        let to = transaction(self.table_begins().await?);
        self.learn(to).await?;
        Ok(self
            .archive
            .blocking("check the archive", |archive| archive.check())
            .await?)
    }

    /// The position behind which just the newest `count` events of the given category, stream and type follow (none: any).
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn before_last(
        &self,
        count: u32,
        category: Option<&str>,
        stream: Option<&str>,
        kind: Option<&str>,
    ) -> Result<Position, LogError> {
        let failed = || LogError::database("read the end of the log");
        let wanted = u64::from(count) + 1;
        let rows = sqlx::query(
            "WITH archive AS MATERIALIZED (SELECT log.archived_to() AS archived_to)
             SELECT archive.archived_to, found.*
               FROM archive
               LEFT JOIN LATERAL (SELECT transaction_id, sequence
                                    FROM log.events
                                   WHERE transaction_id < (SELECT log.horizon()) AND transaction_id >= archive.archived_to
                                     AND ($1::text IS NULL OR category = $1)
                                     AND ($2::text IS NULL OR stream_id = $2)
                                     AND ($3::text IS NULL OR type = $3)
                                   ORDER BY transaction_id DESC, sequence DESC
                                   LIMIT $4) AS found ON true
              ORDER BY transaction_id DESC, sequence DESC",
        )
        .bind(category)
        .bind(stream)
        .bind(kind)
        .bind(i64::from(count) + 1)
        .fetch_all(&self.pool)
        .await
        .map_err(failed())?;
        let archived_to = divide(&rows)?;
        let in_table = found(&rows).count() as u64;
        if in_table >= wanted {
            return match found(&rows).last() {
                Some(row) => position(row).map_err(failed()),
                None => Ok(Position::START),
            };
        }
        if archived_to == 0 {
            return Ok(Position::START);
        }
        self.learn(archived_to).await?;
        let filter = Filter {
            category: category.map(Into::into),
            stream: stream.map(Into::into),
            kind: kind.map(Into::into),
        };
        let missing = wanted - in_table;
        let found = self
            .archive
            .blocking("read the archive", move |archive| {
                archive.before_last(missing, archived_to, &filter)
            })
            .await?;
        Ok(found.map_or(Position::START, from_pair))
    }

    /// Up to `limit` events of the archive after a position.
    pub(super) async fn read_archived(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let after = (transaction(after), after.sequence);
        self.in_archive(move |archive, events| {
            archive.after(after, |line| {
                events.push(row::of_line(line)?);
                Ok::<_, LogError>(events.len() < limit)
            })
        })
        .await
    }

    /// Events of a stream, some of which are in closed segments.
    pub(super) async fn read_closed_stream(
        &self,
        stream: &StreamId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        // Which segments, and what is in the table: by one snapshot.
        let rows = self
            .stream_rows(
                concat!(
                    "WITH archive AS MATERIALIZED (SELECT log.archived_to() AS archived_to) \
                     SELECT archive.archived_to, \
                     ARRAY(SELECT segment FROM log.closed_streams JOIN log.segments ON number = segment \
                     WHERE category = $1 AND stream_id = $2 AND version > $3 AND archived_at IS NOT NULL) AS segments, \
                     found.* FROM archive LEFT JOIN LATERAL (SELECT ",
                    row::columns!(),
                    " FROM log.events WHERE category = $1 AND stream_id = $2 AND version > $3 \
                     AND transaction_id >= archive.archived_to ORDER BY version LIMIT $4) AS found ON true ORDER BY version"
                ),
                stream,
                after,
                limit,
            )
            .await?;
        let mut events = Vec::new();
        if let Some(first) = rows.first() {
            let segments: Vec<i32> = first
                .try_get("segments")
                .map_err(LogError::database(format!("read {stream}")))?;
            if !segments.is_empty() {
                self.learn(divide(&rows)?).await?;
                let (category, id) = (stream.category.as_str(), stream.id.clone());
                events = self
                    .in_archive(move |archive, events| {
                        archive.of_stream(&segments, (category, &id), after, |line| {
                            events.push(row::of_line(line)?);
                            Ok::<_, LogError>(events.len() < limit)
                        })
                    })
                    .await?;
            }
        }
        for row in found(&rows) {
            if events.len() >= limit {
                break;
            }
            events.push(row::event(row)?);
        }
        Ok(events)
    }

    /// The events of a command that are not in the open segment.
    pub(super) async fn closed_command(
        &self,
        command_id: &str,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        let failed = || LogError::database(format!("look for command {command_id}"));
        let rows = sqlx::query(concat!(
            "SELECT log.archived_to() AS archived_to, closed.transaction_id AS appended_by, found.* \
             FROM log.closed_commands AS closed LEFT JOIN LATERAL (SELECT ",
            row::columns!(),
            ", ordinal FROM log.events WHERE transaction_id = closed.transaction_id AND command_id = $1) AS found ON true \
             WHERE closed.key = log.command_key($1) ORDER BY ordinal"
        ))
        .bind(command_id)
        .fetch_all(&self.pool)
        .await
        .map_err(failed())?;
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        let appended_by: i64 = first.try_get("appended_by").map_err(failed())?;
        let archived_to = divide(&rows)?;
        if appended_by >= archived_to {
            return found(&rows).map(row::event).collect();
        }
        self.learn(archived_to).await?;
        let command_id = command_id.to_owned();
        self.in_archive(move |archive, events| {
            archive.of_command(appended_by, &command_id, |line| {
                events.push(row::of_line(line)?);
                Ok::<_, LogError>(())
            })
        })
        .await
    }

    /// Learns which files there are, up to where the database says that the archive goes.
    pub(super) async fn learn(&self, archived_to: i64) -> Result<(), LogError> {
        self.archive
            .learn(&self.pool, archived_to)
            .await
            .map_err(LogError::database("ask which segments are in the archive"))
    }

    /// A statement about a stream, a version and a limit.
    pub(super) async fn stream_rows(
        &self,
        statement: &'static str,
        stream: &StreamId,
        after: i64,
        limit: usize,
    ) -> Result<Vec<PgRow>, LogError> {
        sqlx::query(statement)
            .bind(stream.category.as_str())
            .bind(&stream.id)
            .bind(after)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(LogError::database(format!("read {stream}")))
    }

    async fn in_archive(
        &self,
        work: impl FnOnce(&crate::archive::Archive, &mut Vec<RecordedEvent>) -> Result<(), LogError>
        + Send
        + 'static,
    ) -> Result<Vec<RecordedEvent>, LogError> {
        self.archive
            .blocking("read the archive", move |archive| {
                let mut events = Vec::new();
                Ok(work(archive, &mut events).map(|()| events))
            })
            .await?
    }
}

/// Up to which transaction id the archive goes, as the statement that gave these rows saw it.
pub(super) fn divide(rows: &[PgRow]) -> Result<i64, LogError> {
    rows.first()
        .map_or(Ok(0), |row| row.try_get("archived_to"))
        .map_err(LogError::database("ask how far the archive goes"))
}

/// The rows that are events: a statement that finds none gives one row without any.
pub(super) fn found(rows: &[PgRow]) -> impl Iterator<Item = &PgRow> {
    rows.iter()
        .filter(|row| matches!(row.try_get::<Option<i64>, _>("transaction_id"), Ok(Some(_))))
}

fn from_pair((transaction_id, sequence): (i64, i64)) -> Position {
    Position {
        transaction: transaction_id.unsigned_abs(),
        sequence,
    }
}
