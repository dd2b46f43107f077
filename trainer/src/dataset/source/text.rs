//! A text file is one document.

use super::{DatasetError, PIECE_BYTES, Piece, cut};
use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    path::PathBuf,
};

pub(super) struct Text {
    path: PathBuf,
    reader: BufReader<File>,
    read_bytes: u64,
    /// Line breaks before what is read next.
    lines: u64,
    /// Text that is not in a piece yet.
    rest: String,
    /// Whether pieces have been given out.
    begun: bool,
}

impl Text {
    pub fn open(path: PathBuf) -> Result<Self, DatasetError> {
        let file = File::open(&path).map_err(|source| DatasetError::FileMissing {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            path,
            reader: BufReader::with_capacity(PIECE_BYTES, file),
            read_bytes: 0,
            lines: 0,
            rest: String::new(),
            begun: false,
        })
    }

    pub fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    pub fn next_piece(&mut self) -> Result<Option<Piece>, DatasetError> {
        while self.rest.len() <= PIECE_BYTES {
            if !self.read_text()? {
                let ends = !self.rest.is_empty() || self.begun;
                self.begun = false;
                let text = std::mem::take(&mut self.rest);
                return Ok(ends.then_some(Piece {
                    text,
                    ends_document: true,
                }));
            }
        }
        self.begun = true;
        Ok(Some(cut(&mut self.rest)))
    }

    /// Reads some more text; false at the end of the file.
    fn read_text(&mut self) -> Result<bool, DatasetError> {
        let mut bytes = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut self.reader)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut bytes);
        read.map_err(|source| DatasetError::Read {
            path: self.path.clone(),
            source,
        })?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let first = self.read_bytes == 0;
        self.read_bytes += bytes.len() as u64;
        self.complete_last_character(&mut bytes)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let breaks = bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count() as u64;
            DatasetError::NotUtf8 {
                path: self.path.clone(),
                line: self.lines + breaks + 1,
            }
        })?;
        self.lines += text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        self.rest.push_str(if first {
            text.strip_prefix('\u{feff}').unwrap_or(text)
        } else {
            text
        });
        Ok(true)
    }

    /// Reads the bytes that the last character of `bytes` lacks, at most three.
    fn complete_last_character(&mut self, bytes: &mut Vec<u8>) -> Result<(), DatasetError> {
        for _ in 0..3 {
            // The last four bytes tell whether a character is cut.
            let tail = &bytes[bytes.len().saturating_sub(4)..];
            if !ends_within_a_character(tail) {
                return Ok(());
            }
            let mut byte = [0];
            match self.reader.read_exact(&mut byte) {
                Ok(()) => bytes.push(byte[0]),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Err(source) => {
                    return Err(DatasetError::Read {
                        path: self.path.clone(),
                        source,
                    });
                }
            }
            self.read_bytes += 1;
        }
        Ok(())
    }
}

/// Whether UTF-8 that ends with `tail` (its last four bytes, or all of them) lacks bytes of its last character.
fn ends_within_a_character(tail: &[u8]) -> bool {
    let Some(back) = tail.iter().rev().position(|byte| byte & 0xC0 != 0x80) else {
        return false;
    };
    let length = match tail[tail.len() - 1 - back] {
        0xC0..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    };
    back + 1 < length
}
