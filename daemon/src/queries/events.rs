//! Where to begin to read so that only the newest events are read.

use super::{Queries, QueryError, attempt};
use trainmaster_domain::Position;

impl Queries {
    /// The position behind which just the newest `count` events of the given category, stream and type follow (none: any).
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn before_last(
        &self,
        count: u32,
        category: Option<&str>,
        stream: Option<&str>,
        kind: Option<&str>,
    ) -> Result<Position, QueryError> {
        let before: Option<(i64, i64)> = sqlx::query_as(
            "SELECT transaction_id, sequence
               FROM log.events
              WHERE transaction_id < (SELECT log.horizon())
                AND ($1::text IS NULL OR category = $1)
                AND ($2::text IS NULL OR stream_id = $2)
                AND ($3::text IS NULL OR type = $3)
              ORDER BY transaction_id DESC, sequence DESC
             OFFSET $4 LIMIT 1",
        )
        .bind(category)
        .bind(stream)
        .bind(kind)
        .bind(i64::from(count))
        .fetch_optional(&self.pool)
        .await
        .map_err(attempt("the end of the log"))?;
        Ok(
            before.map_or(Position::START, |(transaction, sequence)| Position {
                transaction: u64::try_from(transaction).unwrap_or(0),
                sequence,
            }),
        )
    }
}
