//! Making a head, and asking what was noted whether an earlier one still holds: over `log.heads` alone, so it takes as long as there are
//! streams, not events, and holds one row.

use super::{Head, HeadKey, StreamsDigest};
use crate::log::{Log, LogError, VerifyError, verify::AgainstHead};
use futures::TryStreamExt;
use sqlx::{Row, postgres::PgRow};
use trainmaster_domain::Position;

/// What had been noted of each stream up to a position.
const NOTED: &str = r#"
    SELECT DISTINCT ON (category COLLATE "C", stream_id COLLATE "C") category, stream_id, version, hash, transaction_id, sequence
      FROM log.heads
     WHERE (transaction_id, sequence) <= ($1, $2)
     ORDER BY category COLLATE "C", stream_id COLLATE "C", version DESC"#;

impl Log {
    /// How far the log has got, signed: all that a reader may see now.
    ///
    /// # Errors
    /// [`LogError::Database`].
    pub async fn sign_head(&self, key: &HeadKey) -> Result<Head, LogError> {
        self.note_heads().await?;
        let (position, digest) = self.noted(i64::MAX, i64::MAX).await?;
        let at = self.now().await?;
        Ok(key.sign(position, digest.finish(), at))
    }

    /// Whether what is noted of the streams still tells of a head. It says nothing of the events themselves: [`Self::verify_with`] does.
    ///
    /// # Errors
    /// [`VerifyError::Head`] when it does not.
    pub async fn still_notes(&self, head: &Head) -> Result<(), VerifyError> {
        let transaction = i64::try_from(head.position.transaction).unwrap_or(i64::MAX);
        let (last, digest) = self.noted(transaction, head.position.sequence).await?;
        AgainstHead::compare(head, last, digest.finish())
    }

    async fn noted(
        &self,
        transaction: i64,
        sequence: i64,
    ) -> Result<(Position, StreamsDigest), LogError> {
        let failed = || LogError::database("read how far the streams have got");
        let mut last = Position::START;
        let mut digest = StreamsDigest::default();
        let mut rows = sqlx::query(NOTED)
            .bind(transaction)
            .bind(sequence)
            .fetch(&self.pool);
        while let Some(row) = rows.try_next().await.map_err(failed())? {
            last = last.max(add(&row, &mut digest).map_err(failed())?);
        }
        Ok((last, digest))
    }
}

/// Adds a stream, and says where it had got to.
fn add(row: &PgRow, digest: &mut StreamsDigest) -> Result<Position, sqlx::Error> {
    let (category, stream_id): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
    digest.add(
        category.as_bytes(),
        stream_id.as_bytes(),
        row.try_get(2)?,
        row.try_get(3)?,
    );
    Ok(Position {
        transaction: row.try_get::<i64, _>(4)?.unsigned_abs(),
        sequence: row.try_get(5)?,
    })
}
