//! The form of a segment file.
//!
//! ```text
//! skippable frame   header: JSON that says what this is and how to read it
//! zstd frame        events, about 256 KiB of lines
//! zstd frame        …
//! skippable frame   directory: for each stream, by category and id, in which frames its versions are; compressed by itself
//! skippable frame   …
//! skippable frame   footer: JSON about every frame, its SHA-256, its length
//! ```
//!
//! `zstd -dc` passes over the skippable frames and so gives every event in the order of the log, a line each.

use super::line::COLUMNS;
use serde::{Deserialize, Serialize};

/// Begins a skippable frame of zstd, little endian; the length of what follows comes next.
pub(super) const SKIPPABLE: u32 = 0x184D_2A50;
/// Bytes before the content of a skippable frame.
pub(super) const SKIPPABLE_HEAD: usize = 8;
/// So many bytes of lines go into one frame, about.
pub(super) const BLOCK_BYTES: usize = 256 * 1024;
/// A line, hence a frame, has no more bytes than this: Postgres' own limit for a value.
pub(super) const MOST_BYTES: u64 = 1 << 30;
/// zstd's own default: it packs metrics about eightfold, and a segment within seconds.
pub(super) const LEVEL: i32 = 3;
/// The end of a file: SHA-256 of the footer, its length, and these bytes.
pub(super) const END: &[u8; 8] = b"TMSEGEND";
/// Bytes of all that.
pub(super) const END_BYTES: usize = 32 + 4 + END.len();
/// The version of this form.
pub(super) const VERSION: u32 = 1;

/// The first frame's content.
#[derive(Debug, Serialize)]
pub(super) struct Header<'a> {
    format: &'a str,
    version: u32,
    segment: i32,
    events: i64,
    last_position: [i64; 2],
    codec: &'a str,
    columns: [&'a str; COLUMNS.len()],
    how_to_read: &'a str,
}

impl Header<'_> {
    pub(super) const fn new(segment: i32, events: i64, last_position: (i64, i64)) -> Self {
        Self {
            format: "trainmaster log segment",
            version: VERSION,
            segment,
            events,
            last_position: [last_position.0, last_position.1],
            codec: "zstd frames of UTF-8 lines; metadata in skippable frames",
            columns: COLUMNS,
            how_to_read: "`zstd -dc FILE` gives a line for each event, in the order of the log, as PostgreSQL's COPY writes text: columns \
                          separated by tabs, \\N for NULL, backslash escapes. `hash` is SHA-256 over previous_hash in hexadecimal, sequence, \
                          transaction_id, version, recorded_at (microseconds since 2000-01-01 UTC, 16 hexadecimal digits), \
                          schema_version, ordinal, category, stream_id, type, command_id, correlation_id, causation_id, actor, \
                          traceparent and payload, joined by line breaks, NULL as nothing. The footer is the JSON before the last 44 \
                          bytes: its SHA-256, its length (4 bytes, little endian), TMSEGEND.",
        }
    }
}

/// A frame of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Block {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Its length there.
    pub(super) bytes: u32,
    /// The length of its lines.
    pub(super) text_bytes: u32,
    /// Position of its first event.
    pub(super) first: (i64, i64),
    /// Position of its last event.
    pub(super) last: (i64, i64),
    /// SHA-256 of the frame, hexadecimal.
    pub(super) sha256: String,
}

/// A part of the directory of streams: lines of category, id, first and last version, and `block:version` for each block that
/// holds some, with the first version in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Page {
    /// Where it begins in the file, behind the head of its frame.
    pub(super) offset: u64,
    /// Its length there.
    pub(super) bytes: u32,
    /// The length of its lines.
    pub(super) text_bytes: u32,
    /// Category and id of its first stream.
    pub(super) first: (String, String),
    /// SHA-256 of the compressed lines, hexadecimal.
    pub(super) sha256: String,
}

/// The last frame's content.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Footer {
    /// The version of the form.
    pub(super) version: u32,
    /// The segment's number.
    pub(super) segment: i32,
    /// Its events.
    pub(super) events: i64,
    /// SHA-256 of all lines, hexadecimal.
    pub(super) text_sha256: String,
    /// The frames of events.
    pub(super) blocks: Vec<Block>,
    /// The directory of streams.
    pub(super) pages: Vec<Page>,
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
