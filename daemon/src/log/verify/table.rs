//! The rows of a segment that is in the table, as one snapshot shows them.

use super::{
    Segment, VerifyError,
    copy::Pieces,
    noted::{Note, Notebook, Notes},
};
use crate::log::LogError;
use futures::TryStreamExt;
use sqlx::{
    AssertSqlSafe, PgConnection, Row,
    pool::PoolConnection,
    postgres::{PgPool, PgRow},
};
use tokio::sync::mpsc;

/// So many bytes of rows go from the connection to who looks at them at once.
const PIECE: usize = 256 << 10;
/// So many pieces may wait.
pub(super) const PIECES: usize = 4;
/// Rows of a part, about.
const ROWS_PER_PART: i64 = 25_000;
/// Parts at most.
const PARTS: i64 = 64;
/// So many rows are asked to find out where parts begin.
const SAMPLES: f64 = 4_000.0;

/// Transactions whose events a segment holds, from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Bounds {
    pub first: i64,
    pub last: i64,
}

/// Where streams begin that are looked at together: category and id.
type Border = (String, String);

/// Streams of a segment, from the first border, but for those from the second on.
#[derive(Clone, Debug)]
pub(super) struct Part {
    bounds: Bounds,
    from: Border,
    to: Option<Border>,
}

fn failed() -> impl FnOnce(sqlx::Error) -> LogError {
    LogError::database("verify the log")
}

/// A connection in a transaction that sees the log as it is now, and the name under which others see the same.
pub(super) async fn snapshot(
    pool: &PgPool,
) -> Result<(PoolConnection<sqlx::Postgres>, String), LogError> {
    let mut connection = pool.acquire().await.map_err(failed())?;
    // What is given up in the middle of a copy is of no use to others.
    connection.close_on_drop();
    sqlx::raw_sql(BEGIN)
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    let name = sqlx::query_scalar("SELECT pg_export_snapshot()")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed())?;
    Ok((connection, name))
}

/// Another connection that sees the same.
pub(super) async fn join_snapshot(
    pool: &PgPool,
    name: &str,
) -> Result<PoolConnection<sqlx::Postgres>, LogError> {
    let mut connection = pool.acquire().await.map_err(failed())?;
    connection.close_on_drop();
    sqlx::raw_sql(BEGIN)
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    // No parameter can stand here; what Postgres calls a snapshot is hexadecimal digits and dashes.
    let name: String = name
        .chars()
        .filter(|c| c.is_ascii_hexdigit() || *c == '-')
        .collect();
    sqlx::raw_sql(AssertSqlSafe(format!("SET TRANSACTION SNAPSHOT '{name}'")))
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    Ok(connection)
}

/// Rows come from the index in their order: sorting them would need room for all.
///
/// Segments stay in the table as long as somebody looks at it; whether one is there is seen after the lock is had.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE ONLY log.events IN ACCESS SHARE MODE; \
     SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
     SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off";

/// How many rows there are, about.
pub(super) async fn estimate(connection: &mut PgConnection) -> Result<i64, LogError> {
    let known: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(reltuples) FILTER (WHERE reltuples > 0), 0)::bigint FROM pg_class
          WHERE oid = 'log.events'::regclass OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'log.events'::regclass)",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed())?;
    if known > 1_000_000 {
        return Ok(known);
    }
    sqlx::query_scalar("SELECT count(*) FROM log.events")
        .fetch_one(connection)
        .await
        .map_err(failed())
}

/// The segments, in their order: together they have a place for every event. `total` is how many events there are.
pub(super) async fn segments(
    connection: &mut PgConnection,
    total: i64,
) -> Result<Vec<Segment>, LogError> {
    let rows: Vec<(i64, i64, i64, Option<i32>)> = sqlx::query_as(
        "SELECT CASE WHEN number = min(number) OVER () THEN $1 ELSE from_transaction_id END,
                CASE WHEN closed_at IS NULL THEN $2 ELSE to_transaction_id - 1 END,
                CASE WHEN closed_at IS NULL
                     THEN $3 - coalesce(sum(events) FILTER (WHERE closed_at IS NOT NULL AND archived_at IS NULL) OVER (), 0)::bigint
                     ELSE events
                END,
                CASE WHEN archived_at IS NOT NULL THEN number END
           FROM log.segments ORDER BY number",
    )
    .bind(i64::MIN)
    .bind(i64::MAX)
    .bind(total)
    .fetch_all(connection)
    .await
    .map_err(failed())?;
    Ok(rows
        .into_iter()
        .map(|(first, last, events, archived)| {
            let bounds = Bounds { first, last };
            match archived {
                Some(number) => Segment::File { number, bounds },
                None => Segment::Table { bounds, events },
            }
        })
        .collect())
}

/// Cuts a segment of about so many rows into parts, so that two can be looked at at once.
pub(super) async fn parts(
    connection: &mut PgConnection,
    bounds: Bounds,
    rows: i64,
) -> Result<Vec<Part>, LogError> {
    let count = (rows / ROWS_PER_PART).clamp(1, PARTS);
    let mut borders: Vec<Border> = vec![Border::default()];
    if count > 1 {
        #[allow(clippy::cast_precision_loss, reason = "a percentage, about")]
        let percent = (100.0 * SAMPLES / rows as f64).clamp(0.001, 100.0);
        let samples: Vec<Border> = sqlx::query_as(
            "SELECT category, stream_id FROM log.events TABLESAMPLE SYSTEM ($1) REPEATABLE (0)
              WHERE transaction_id BETWEEN $2 AND $3 ORDER BY category, stream_id",
        )
        .bind(percent)
        .bind(bounds.first)
        .bind(bounds.last)
        .fetch_all(connection)
        .await
        .map_err(failed())?;
        let step = samples
            .len()
            .div_ceil(usize::try_from(count).unwrap_or(1))
            .max(1);
        borders.extend(samples.into_iter().step_by(step).skip(1));
        borders.dedup();
    }
    let mut parts = Vec::with_capacity(borders.len());
    let mut to = None;
    for from in borders.into_iter().rev() {
        parts.push(Part {
            bounds,
            from: from.clone(),
            to: to.replace(from),
        });
    }
    parts.reverse();
    Ok(parts)
}

/// A statement about the rows of a part, whose borders [`name_part`] has named; without an end for the last part.
macro_rules! of_part {
    ($before:literal, $after:literal) => {
        [
            concat!($before, of_part!(@from), $after),
            concat!(
                $before,
                of_part!(@from),
                " AND (category, stream_id) < (current_setting('trainmaster.to_category'), current_setting('trainmaster.to_stream'))",
                $after
            ),
        ]
    };
    (@from) => {
        " WHERE transaction_id BETWEEN current_setting('trainmaster.first_transaction')::bigint AND current_setting('trainmaster.last_transaction')::bigint \
          AND (category, stream_id) >= (current_setting('trainmaster.from_category'), current_setting('trainmaster.from_stream'))"
    };
}

const ROWS: [&str; 2] = of_part!(
    "COPY (SELECT sequence, transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type, command_id, \
     correlation_id, causation_id, actor, traceparent, payload::text, previous_hash, hash FROM log.events",
    " ORDER BY category, stream_id, version) TO STDOUT (FORMAT binary)"
);

const NOTES: [&str; 2] = of_part!(
    "SELECT category, stream_id, version, transaction_id, sequence, hash FROM log.heads",
    " ORDER BY category, stream_id, version"
);

/// Says for the transaction which part is meant. COPY takes no parameters.
async fn name_part(connection: &mut PgConnection, part: &Part) -> Result<usize, LogError> {
    let to = part.to.clone().unwrap_or_default();
    sqlx::query(
        "SELECT set_config('trainmaster.first_transaction', $1, true), set_config('trainmaster.last_transaction', $2, true),
                set_config('trainmaster.from_category', $3, true), set_config('trainmaster.from_stream', $4, true),
                set_config('trainmaster.to_category', $5, true), set_config('trainmaster.to_stream', $6, true)",
    )
    .bind(part.bounds.first.to_string())
    .bind(part.bounds.last.to_string())
    .bind(&part.from.0)
    .bind(&part.from.1)
    .bind(&to.0)
    .bind(&to.1)
    .execute(connection)
    .await
    .map_err(failed())?;
    Ok(usize::from(part.to.is_some()))
}

/// What is noted of the streams of a part.
pub(super) async fn notes(
    connection: &mut PgConnection,
    part: &Part,
) -> Result<Notes, VerifyError> {
    let statement = NOTES[name_part(&mut *connection, part).await?];
    let mut notebook = Notebook::default();
    let mut rows = sqlx::query(statement).fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed())? {
        let note = note(&row).map_err(failed())?;
        notebook.write(&note).map_err(VerifyError::Aside)?;
    }
    drop(rows);
    notebook.into_notes().map_err(VerifyError::Aside)
}

/// What is noted of the streams of a whole segment, in the order of their bytes.
pub(super) async fn notes_by_bytes(
    connection: &mut PgConnection,
    bounds: Bounds,
) -> Result<Notes, VerifyError> {
    let mut notebook = Notebook::default();
    let mut rows = sqlx::query(
        "SELECT category, stream_id, version, transaction_id, sequence, hash FROM log.heads
          WHERE transaction_id BETWEEN $1 AND $2
          ORDER BY category COLLATE \"C\", stream_id COLLATE \"C\", version",
    )
    .bind(bounds.first)
    .bind(bounds.last)
    .fetch(connection);
    while let Some(row) = rows.try_next().await.map_err(failed())? {
        let note = note(&row).map_err(failed())?;
        notebook.write(&note).map_err(VerifyError::Aside)?;
    }
    drop(rows);
    notebook.into_notes().map_err(VerifyError::Aside)
}

fn note(row: &PgRow) -> Result<Note, sqlx::Error> {
    Ok(Note {
        category: row.try_get(0)?,
        stream_id: row.try_get(1)?,
        version: row.try_get(2)?,
        transaction_id: row.try_get(3)?,
        sequence: row.try_get(4)?,
        hash: row.try_get(5)?,
    })
}

/// Sends the rows of the part that [`notes`] was asked for, as [`super::copy::CopiedRows`] reads them. Ends early when nobody takes them.
pub(super) async fn send_rows(
    connection: &mut PgConnection,
    part: &Part,
    pieces: mpsc::Sender<Result<Vec<u8>, LogError>>,
) {
    let statement = ROWS[usize::from(part.to.is_some())];
    let send = async {
        let mut rows = connection.copy_out_raw(statement).await?;
        let mut piece = Vec::with_capacity(PIECE);
        while let Some(bytes) = rows.try_next().await? {
            piece.extend_from_slice(&bytes);
            if piece.len() >= PIECE {
                let full = std::mem::replace(&mut piece, Vec::with_capacity(PIECE));
                if pieces.send(Ok(full)).await.is_err() {
                    return Ok(());
                }
            }
        }
        let _ = pieces.send(Ok(piece)).await;
        Ok(())
    };
    if let Err(error) = send.await {
        let _ = pieces.send(Err(failed()(error))).await;
    }
}

/// What was sent, on a thread that may block.
pub(super) struct Received(pub(super) mpsc::Receiver<Result<Vec<u8>, LogError>>);

impl Pieces for Received {
    fn next(&mut self) -> Result<Option<Vec<u8>>, VerifyError> {
        Ok(self.0.blocking_recv().transpose()?)
    }
}
