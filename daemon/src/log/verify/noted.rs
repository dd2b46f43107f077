//! What `log.heads` notes of a segment, beside its rows.
//!
//! Notes are put aside in the order in which the segment's rows will come, and compared one after another: each must meet its row. So the
//! first that meets none tells what is missing, whatever order streams are in.

use super::{Fault, Finding, Row, VerifyError};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use tempfile::{SpooledTempFile, spooled_tempfile};

/// So many bytes of notes stay in memory.
const IN_MEMORY: usize = 1 << 20;

/// A note: the stream had reached this version, and this was its hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::log) struct Note {
    pub category: String,
    pub stream_id: String,
    pub version: i64,
    pub transaction_id: i64,
    pub sequence: i64,
    pub hash: Vec<u8>,
}

/// Takes notes down.
pub(in crate::log) struct Notebook(BufWriter<SpooledTempFile>);

impl Default for Notebook {
    fn default() -> Self {
        Self(BufWriter::new(spooled_tempfile(IN_MEMORY)))
    }
}

impl Notebook {
    pub(in crate::log) fn write(&mut self, note: &Note) -> io::Result<()> {
        for text in [
            note.category.as_bytes(),
            note.stream_id.as_bytes(),
            &note.hash,
        ] {
            let length = u32::try_from(text.len()).map_err(io::Error::other)?;
            self.0.write_all(&length.to_le_bytes())?;
            self.0.write_all(text)?;
        }
        for number in [note.version, note.transaction_id, note.sequence] {
            self.0.write_all(&number.to_le_bytes())?;
        }
        Ok(())
    }

    pub(in crate::log) fn into_notes(self) -> io::Result<Notes> {
        let mut file = self.0.into_inner()?;
        file.rewind()?;
        let mut notes = Notes {
            file: BufReader::new(file),
            next: None,
            met: 0,
        };
        notes.advance()?;
        Ok(notes)
    }
}

/// Notes, the next of which is known.
pub(in crate::log) struct Notes {
    file: BufReader<SpooledTempFile>,
    next: Option<Note>,
    met: u64,
}

impl Notes {
    fn advance(&mut self) -> io::Result<()> {
        self.next = None;
        let mut length = [0; 4];
        let first = self.file.read(&mut length)?;
        if first == 0 {
            return Ok(());
        }
        self.file.read_exact(&mut length[first..])?;
        let text = |file: &mut BufReader<SpooledTempFile>, length: [u8; 4]| {
            let mut text = vec![0; u32::from_le_bytes(length) as usize];
            file.read_exact(&mut text)?;
            Ok::<_, io::Error>(text)
        };
        let category = text(&mut self.file, length)?;
        self.file.read_exact(&mut length)?;
        let stream_id = text(&mut self.file, length)?;
        self.file.read_exact(&mut length)?;
        let hash = text(&mut self.file, length)?;
        let mut numbers = [0_i64; 3];
        for number in &mut numbers {
            let mut bytes = [0; 8];
            self.file.read_exact(&mut bytes)?;
            *number = i64::from_le_bytes(bytes);
        }
        let [version, transaction_id, sequence] = numbers;
        self.next = Some(Note {
            category: String::from_utf8(category).map_err(io::Error::other)?,
            stream_id: String::from_utf8(stream_id).map_err(io::Error::other)?,
            version,
            transaction_id,
            sequence,
            hash,
        });
        Ok(())
    }

    fn next_is_of(&self, category: &[u8], stream_id: &[u8]) -> Option<&Note> {
        self.next.as_ref().filter(|note| {
            note.category.as_bytes() == category && note.stream_id.as_bytes() == stream_id
        })
    }

    /// Compares a row with its note, where it has one.
    pub(super) fn compare(&mut self, row: &Row<'_>) -> Result<(), VerifyError> {
        let Some(note) = self.next_is_of(row.category, row.stream_id) else {
            return Ok(());
        };
        if note.version != row.version {
            return Ok(());
        }
        let same = note.hash == row.hash
            && (note.transaction_id, note.sequence) == (row.transaction_id, row.sequence);
        if !same {
            return Err(Finding::new(
                row.category,
                row.stream_id,
                row.version,
                Some(row.sequence),
                Fault::Altered,
            )
            .into());
        }
        self.met += 1;
        self.advance().map_err(VerifyError::Aside)
    }

    /// After the last row of a stream: a note of it that is still there met no row.
    pub(super) fn end_of_stream(
        &self,
        category: &[u8],
        stream_id: &[u8],
        last_version: i64,
    ) -> Result<(), Finding> {
        match self.next_is_of(category, stream_id) {
            None => Ok(()),
            Some(note) => Err(Finding::new(
                category,
                stream_id,
                note.version.min(last_version + 1),
                None,
                Fault::Missing,
            )),
        }
    }

    /// After the last row: how many notes met theirs; or the first that did not.
    pub(super) fn end(self) -> Result<u64, Note> {
        match self.next {
            None => Ok(self.met),
            Some(note) => Err(note),
        }
    }
}
