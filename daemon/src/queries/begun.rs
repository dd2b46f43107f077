//! Streams that have no table of their own, found by the event that they begin with.

use super::{Queries, QueryError, attempt};
use chrono::{DateTime, Utc};
use trainmaster_domain::{Category, Position};

/// Which event they begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Segmentation trainings.
    SegmentationQueued,
    /// Cross-validations.
    CrossValidationQueued,
    /// SLURM jobs.
    SlurmSubmissionIntended,
}

impl First {
    const fn event_type(self) -> &'static str {
        match self {
            Self::SegmentationQueued => "SegmentationQueued",
            Self::CrossValidationQueued => "CrossValidationQueued",
            Self::SlurmSubmissionIntended => "SlurmSubmissionIntended",
        }
    }
}

/// A stream that has begun.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Begun {
    /// Its id.
    pub id: String,
    /// When.
    pub created_at: DateTime<Utc>,
    transaction_id: i64,
    sequence: i64,
}

impl Begun {
    /// Where in the log.
    #[must_use]
    pub fn position(&self) -> Position {
        position(self.transaction_id, self.sequence)
    }
}

/// A position from two columns.
pub(super) fn position(transaction_id: i64, sequence: i64) -> Position {
    Position {
        transaction: u64::try_from(transaction_id).unwrap_or(0),
        sequence,
    }
}

/// A position as two columns: behind everything, where there is none.
pub(super) fn columns(before: Option<Position>) -> (i64, i64) {
    before.map_or((i64::MAX, i64::MAX), |position| {
        (
            i64::try_from(position.transaction).unwrap_or(i64::MAX),
            position.sequence,
        )
    })
}

impl Queries {
    /// Streams that began with an event before a position, the newest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn begun(
        &self,
        first: First,
        before: Option<Position>,
        most: usize,
    ) -> Result<Vec<Begun>, QueryError> {
        let (transaction, sequence) = columns(before);
        sqlx::query_as(
            "SELECT stream_id AS id, recorded_at AS created_at, transaction_id, sequence
               FROM log.events
              WHERE type = $1 AND (transaction_id, sequence) < ($2, $3)
              ORDER BY transaction_id DESC, sequence DESC
              LIMIT $4",
        )
        .bind(first.event_type())
        .bind(transaction)
        .bind(sequence)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.pool)
        .await
        .map_err(attempt(format!("what began with {}", first.event_type())))
    }

    /// When a stream began; none where there is none.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn began_at(
        &self,
        category: Category,
        id: &str,
    ) -> Result<Option<DateTime<Utc>>, QueryError> {
        sqlx::query_scalar(
            "SELECT recorded_at FROM log.events WHERE category = $1 AND stream_id = $2 AND version = 1",
        )
        .bind(category.as_str())
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .map_err(attempt(format!("{category} {id}")))
    }
}
