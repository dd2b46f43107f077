//! What segments there are.

use chrono::{DateTime, Utc};
use sqlx::{PgExecutor, Row, postgres::PgRow};

/// A part of the log, as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Segment {
    /// 1, 2, 3… in the order of the log.
    pub number: i32,
    /// Where its events are.
    pub state: SegmentState,
    /// Its events; of the open one as far as they were counted.
    pub events: i64,
    /// When appends began to go there.
    pub opened_at: DateTime<Utc>,
    /// When its last event was appended; none as long as there is none.
    pub last_recorded_at: Option<DateTime<Utc>>,
    /// The position of its last event.
    #[schema(example = "812-33")]
    pub last_position: String,
    /// Since when it does not change any more.
    pub closed_at: Option<DateTime<Utc>>,
    /// When it left the database.
    pub archived_at: Option<DateTime<Utc>>,
    /// The name of its file in the archive.
    pub file: Option<String>,
    /// The size of that file.
    pub bytes: Option<i64>,
    /// The SHA-256 of that file, hexadecimal.
    pub sha256: Option<String>,
}

/// Where a segment's events are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SegmentState {
    /// In the database, and more are appended.
    Open,
    /// In the database.
    Closed,
    /// In a file.
    Archived,
}

/// Every segment, the first one first.
///
/// # Errors
/// What Postgres says.
pub async fn segments(executor: impl PgExecutor<'_>) -> Result<Vec<Segment>, sqlx::Error> {
    sqlx::query(
        "SELECT number, events, opened_at, last_recorded_at, last_transaction_id, last_sequence, closed_at, archived_at, file, bytes, sha256
           FROM log.segments ORDER BY number",
    )
    .try_map(|row: PgRow| {
        let (transaction, sequence): (i64, i64) =
            (row.try_get("last_transaction_id")?, row.try_get("last_sequence")?);
        let closed_at: Option<DateTime<Utc>> = row.try_get("closed_at")?;
        let archived_at: Option<DateTime<Utc>> = row.try_get("archived_at")?;
        let sha256: Option<Vec<u8>> = row.try_get("sha256")?;
        Ok(Segment {
            number: row.try_get("number")?,
            state: match (closed_at, archived_at) {
                (None, _) => SegmentState::Open,
                (Some(_), None) => SegmentState::Closed,
                (Some(_), Some(_)) => SegmentState::Archived,
            },
            events: row.try_get("events")?,
            opened_at: row.try_get("opened_at")?,
            last_recorded_at: row.try_get("last_recorded_at")?,
            last_position: format!("{transaction}-{sequence}"),
            closed_at,
            archived_at,
            file: row.try_get("file")?,
            bytes: row.try_get("bytes")?,
            sha256: sha256.map(|sha256| super::hex(&sha256)),
        })
    })
    .fetch_all(executor)
    .await
}
