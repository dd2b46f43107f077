//! The hash of an event, as the trigger `log.chain()` computes it.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{Row, postgres::PgRow};
use std::fmt::Write;

/// From 1970 to 2000, where Postgres counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// SHA-256 over one line for each column.
pub(super) fn of(row: &PgRow) -> Result<[u8; 32], sqlx::Error> {
    let recorded_at: DateTime<Utc> = row.try_get("recorded_at")?;
    let mut text = String::new();
    for byte in row.try_get::<&[u8], _>("previous_hash")? {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    for column in ["sequence", "transaction_id", "version"] {
        let _ = write!(text, "\n{}", row.try_get::<i64, _>(column)?);
    }
    let micros = recorded_at.timestamp_micros() - POSTGRES_EPOCH_MICROS;
    let _ = write!(text, "\n{micros:016x}");
    for column in ["schema_version", "ordinal"] {
        let _ = write!(text, "\n{}", row.try_get::<i32, _>(column)?);
    }
    for column in [
        "category",
        "stream_id",
        "type",
        "command_id",
        "correlation_id",
        "causation_id",
        "actor",
        "traceparent",
        "payload",
    ] {
        text.push('\n');
        text.push_str(row.try_get(column)?);
    }
    Ok(Sha256::digest(text).into())
}
