//! One hash for all streams as far as they had got.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// SHA-256 over a line for each stream, in the order of the bytes of category and id: `<category> TAB <id> TAB <version> TAB <hash> LF`, where
/// the hash is that of the event of this version. As that hash covers all events of the stream before it, the digest covers every
/// column of every event.
#[derive(Clone, Default)]
pub(in crate::log) struct StreamsDigest {
    sha: Sha256,
    line: String,
    streams: u64,
    events: u64,
}

impl StreamsDigest {
    /// The next stream and how far it had got.
    pub(in crate::log) fn add(
        &mut self,
        category: &[u8],
        stream_id: &[u8],
        version: i64,
        hash: &[u8],
    ) {
        self.line.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.line, "\t{version}\t");
        for byte in hash {
            let _ = write!(self.line, "{byte:02x}");
        }
        self.line.push('\n');
        self.sha.update(category);
        self.sha.update(b"\t");
        self.sha.update(stream_id);
        self.sha.update(self.line.as_bytes());
        self.streams += 1;
        self.events += version.unsigned_abs();
    }

    /// Streams, their events (versions are without gaps), and the hash.
    pub(in crate::log) fn finish(self) -> (u64, u64, [u8; 32]) {
        (self.streams, self.events, self.sha.finalize().into())
    }
}
