//! The hash of an event, as the trigger `log.chain()` computes it.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{Row, postgres::PgRow};

/// From 1970 to 2000, where Postgres counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// SHA-256 over the predecessor's hash, the numbers in network byte order, and the texts, joined by line breaks.
pub(super) fn of(row: &PgRow) -> Result<[u8; 32], sqlx::Error> {
    let recorded_at: DateTime<Utc> = row.try_get("recorded_at")?;
    let mut hasher = Sha256::new();
    hasher.update(row.try_get::<&[u8], _>("previous_hash")?);
    for column in ["sequence", "transaction_id", "version"] {
        hasher.update(row.try_get::<i64, _>(column)?.to_be_bytes());
    }
    hasher.update((recorded_at.timestamp_micros() - POSTGRES_EPOCH_MICROS).to_be_bytes());
    for column in ["schema_version", "ordinal"] {
        hasher.update(row.try_get::<i32, _>(column)?.to_be_bytes());
    }
    const TEXTS: [&str; 9] = [
        "category",
        "stream_id",
        "type",
        "command_id",
        "correlation_id",
        "causation_id",
        "actor",
        "traceparent",
        "payload",
    ];
    for (index, column) in TEXTS.iter().enumerate() {
        if index > 0 {
            hasher.update("\n");
        }
        hasher.update(row.try_get::<&str, _>(*column)?);
    }
    Ok(hasher.finalize().into())
}
