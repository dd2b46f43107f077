//! Rows as `COPY … (FORMAT binary)` takes them.

use sqlx::PgConnection;

/// Signature, flags, length of the extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const NULL: [u8; 4] = (-1_i32).to_be_bytes();
/// The only version of `jsonb`'s binary form: JSON text follows.
const JSONB_VERSION: u8 = 1;

/// The columns, in the order in which [`Rows`] are written.
const COLUMNS: &str = "id, feature_id, dataset_sample_id, sample_index, tokens, activations, max_activation, \
                       context_before, context_after, created_at";
const FIELDS: [u8; 2] = 10_i16.to_be_bytes();

/// Encoded rows.
pub(super) struct Rows(Vec<u8>);

impl Rows {
    pub(super) fn new() -> Self {
        Self(HEADER.to_vec())
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(super) fn begin_row(&mut self) {
        self.0.extend_from_slice(&FIELDS);
    }

    pub(super) fn bigint(&mut self, number: i64) {
        self.field(&number.to_be_bytes());
    }

    pub(super) fn integer(&mut self, number: Option<i32>) {
        match number {
            Some(number) => self.field(&number.to_be_bytes()),
            None => self.0.extend_from_slice(&NULL),
        }
    }

    pub(super) fn double(&mut self, number: f64) {
        self.field(&number.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.field(text.as_bytes()),
            None => self.0.extend_from_slice(&NULL),
        }
    }

    pub(super) fn jsonb(&mut self, json: &str) {
        self.length(json.len() + 1);
        self.0.push(JSONB_VERSION);
        self.0.extend_from_slice(json.as_bytes());
    }

    fn field(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// What is longer, Postgres refuses.
    fn length(&mut self, bytes: usize) {
        let length = i32::try_from(bytes).unwrap_or(i32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
    }

    /// Writes the rows to a table of ours.
    pub(super) async fn copy_to(
        mut self,
        connection: &mut PgConnection,
        table: &str,
    ) -> Result<u64, sqlx::Error> {
        self.0.extend_from_slice(&TRAILER);
        let statement = format!("COPY {table} ({COLUMNS}) FROM STDIN (FORMAT binary)");
        let mut copy = connection.copy_in_raw(&statement).await?;
        match copy.send(self.0).await {
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
