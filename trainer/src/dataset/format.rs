//! The files of a tokenised dataset.
//!
//! `tokens.bin`, all numbers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `TMTOKENS` |
//! | 8..12 | version of this format, 1 |
//! | 12..16 | bytes of a token: 2 where all ids fit, else 4 |
//! | 16..20 | tokens of a sequence |
//! | 20..24 | one more than the tokenizer's greatest id |
//! | 24..28 | id that begins every sequence; `0xFFFF_FFFF`: none does |
//! | 28..32 | id between documents; `0xFFFF_FFFF`: none |
//! | 32..40 | sequences |
//! | 40..44 | tokens of the last sequence before it is filled up |
//! | 44..48 | id that fills it up |
//! | 48..64 | 0 |
//! | 64.. | sequences, one after another |
//!
//! `tokens.json` is [`Statistics`].

use serde::{Deserialize, Serialize};

/// The packed sequences.
pub const TOKENS_FILE: &str = "tokens.bin";
/// Their statistics.
pub const STATISTICS_FILE: &str = "tokens.json";
/// The version of the format.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes before the first sequence.
pub const HEADER_BYTES: usize = 64;
const MAGIC: &[u8; 8] = b"TMTOKENS";
const NONE: u32 = u32::MAX;

/// What is known of a tokenised dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Documents with text.
    pub num_samples: u64,
    /// Tokens of text: no padding, no inserted beginning or separator.
    pub num_tokens: u64,
    /// Entries of the tokenizer's vocabulary.
    pub vocab_size: u64,
    /// Tokens of text a document.
    pub avg_sequence_length: f64,
    /// Packed sequences.
    pub num_sequences: u64,
    /// Tokens of a packed sequence.
    pub context_length: u32,
    /// Lower-case hex SHA-256 of `tokens.bin`.
    pub sha256: String,
    /// Lower-case hex SHA-256 of the tokenizer that made it.
    pub tokenizer_sha256: String,
    /// The id that begins every sequence.
    pub bos_token_id: Option<u32>,
    /// The id after each document.
    pub separator_token_id: Option<u32>,
    /// Lower-case hex SHA-256 of the text: each document in UTF-8 and a byte 0xFF after it. Empty in what was written
    /// before it was kept.
    #[serde(default)]
    pub content_sha256: String,
}

/// The first bytes of `tokens.bin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub token_bytes: u32,
    pub context_length: u32,
    pub id_bound: u32,
    pub bos: Option<u32>,
    pub separator: Option<u32>,
    pub sequences: u64,
    pub last_length: u32,
    pub padding: u32,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        let words = [
            FORMAT_VERSION,
            self.token_bytes,
            self.context_length,
            self.id_bound,
            self.bos.unwrap_or(NONE),
            self.separator.unwrap_or(NONE),
        ];
        for (at, word) in (8..).step_by(4).zip(words) {
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        bytes[32..40].copy_from_slice(&self.sequences.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.last_length.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.padding.to_le_bytes());
        bytes
    }

    /// Reads a header, or says what is wrong with it.
    pub fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, String> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        if &bytes[..8] != MAGIC {
            return Err("it does not begin as a tokenised dataset does".to_owned());
        }
        if word(8) != FORMAT_VERSION {
            return Err(format!(
                "its format has version {}, this program knows {FORMAT_VERSION}",
                word(8)
            ));
        }
        let some = |id: u32| (id != NONE).then_some(id);
        let header = Self {
            token_bytes: word(12),
            context_length: word(16),
            id_bound: word(20),
            bos: some(word(24)),
            separator: some(word(28)),
            sequences: u64::from(word(32)) | u64::from(word(36)) << 32,
            last_length: word(40),
            padding: word(44),
        };
        if !matches!(header.token_bytes, 2 | 4) {
            return Err(format!(
                "its tokens would have {} bytes",
                header.token_bytes
            ));
        }
        if header.context_length == 0 || header.last_length > header.context_length {
            return Err(format!(
                "its last sequence would have {} of {} tokens",
                header.last_length, header.context_length
            ));
        }
        Ok(header)
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> Option<u64> {
        let sequence = u64::from(self.context_length) * u64::from(self.token_bytes);
        self.sequences
            .checked_mul(sequence)?
            .checked_add(HEADER_BYTES as u64)
    }
}
