//! Rows as `COPY … (FORMAT binary)` takes them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The only version of `jsonb`'s binary form: JSON text follows.
const JSONB_VERSION: u8 = 1;

/// 2000-01-01, from which Postgres counts microseconds.
const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// Encoded rows, whose fields are written in the order of the columns.
pub(crate) struct Rows {
    bytes: Vec<u8>,
    fields: [u8; 2],
}

impl Rows {
    /// Of so many columns.
    pub(crate) fn new(columns: i16) -> Self {
        Self {
            bytes: HEADER.to_vec(),
            fields: columns.to_be_bytes(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn begin_row(&mut self) {
        self.bytes.extend_from_slice(&self.fields);
    }

    pub(crate) fn bigint(&mut self, number: i64) {
        self.field(&number.to_be_bytes());
    }

    pub(crate) fn integer(&mut self, number: Option<i32>) {
        match number {
            Some(number) => self.field(&number.to_be_bytes()),
            None => self.bytes.extend_from_slice(&NULL),
        }
    }

    pub(crate) fn double(&mut self, number: Option<f64>) {
        match number {
            Some(number) => self.field(&number.to_be_bytes()),
            None => self.bytes.extend_from_slice(&NULL),
        }
    }

    pub(crate) fn time(&mut self, at: Option<DateTime<Utc>>) {
        match at {
            Some(at) => {
                let since = at.timestamp_micros().saturating_sub(EPOCH_MICROSECONDS);
                self.field(&since.to_be_bytes());
            }
            None => self.bytes.extend_from_slice(&NULL),
        }
    }

    pub(crate) fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.field(text.as_bytes()),
            None => self.bytes.extend_from_slice(&NULL),
        }
    }

    pub(crate) fn jsonb(&mut self, json: &str) {
        self.length(json.len() + 1);
        self.bytes.push(JSONB_VERSION);
        self.bytes.extend_from_slice(json.as_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// What is longer, Postgres refuses.
    fn length(&mut self, bytes: usize) {
        let length = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
    }

    /// Writes the rows to a table of ours.
    pub(crate) async fn copy_to(
        mut self,
        connection: &mut PgConnection,
        table: &str,
        columns: &str,
    ) -> Result<u64, sqlx::Error> {
        self.bytes.extend_from_slice(&TRAILER);
        let statement = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
        let mut copy = connection.copy_in_raw(&statement).await?;
        match copy.send(self.bytes).await {
            Ok(_) => {}
            Err(error) => {
                // The connection is lost; that it cannot be told so changes nothing.
                copy.abort("the rows could not be sent").await.ok();
                return Err(error);
            }
        }
        copy.finish().await
    }
}
