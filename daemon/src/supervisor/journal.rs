//! Reading a run's journal from where it was read to before.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};
use trainmaster_domain::run::journal::{JournalRecord, MAX_LINE_BYTES};

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

/// A complete line of the journal.
#[derive(Debug)]
pub struct Line {
    /// Where the next line begins.
    pub end: u64,
    /// The record; none when the line is not one (its writer died in the middle of it).
    pub record: Option<JournalRecord>,
}

/// Reads complete lines; what has no newline yet stays for later.
#[derive(Debug)]
pub struct JournalReader {
    path: PathBuf,
    offset: u64,
}

impl JournalReader {
    /// A reader that goes on at `offset`.
    #[must_use]
    pub fn new(path: PathBuf, offset: u64) -> Self {
        Self { path, offset }
    }

    /// Where the first line begins that has not been read.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next lines, a megabyte's worth at most; empty at the end, and where there is no journal yet. A journal that is shorter
    /// than what was read of it is another one and is read from its beginning: what is repeated does no harm.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&mut self) -> io::Result<Vec<Line>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        if length < self.offset {
            self.offset = 0;
        }
        if length == self.offset {
            return Ok(vec![]);
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::with_capacity(CHUNK.min((length - self.offset) as usize));
        file.take(CHUNK as u64).read_to_end(&mut bytes)?;
        let mut lines = vec![];
        let mut rest = bytes.as_slice();
        while let Some(newline) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(newline);
            rest = after.get(1..).unwrap_or_default();
            self.offset += newline as u64 + 1;
            if !line.is_empty() {
                lines.push(Line {
                    end: self.offset,
                    record: serde_json::from_slice(line).ok(),
                });
            }
        }
        if lines.is_empty() && rest.len() > 2 * MAX_LINE_BYTES {
            // No writer of ours wrote this, and it will not become a line.
            self.offset += rest.len() as u64;
            lines.push(Line {
                end: self.offset,
                record: None,
            });
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::OpenOptions, io::Write};

    fn line(lease: u64, seq: u64) -> String {
        format!(
            r#"{{"lease":{lease},"seq":{seq},"written_at":"2026-01-01T00:00:00Z","record":"progress","stage":"loading","percent":1.0}}"#
        )
    }

    fn append(path: &PathBuf, text: &str) {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn seqs(lines: &[Line]) -> Vec<Option<u64>> {
        lines
            .iter()
            .map(|line| line.record.as_ref().map(|record| record.seq))
            .collect()
    }

    #[test]
    fn a_line_is_read_once_and_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut reader = JournalReader::new(path.clone(), 0);
        assert!(reader.read().unwrap().is_empty());
        append(&path, &format!("{}\n{}", line(1, 1), &line(1, 2)[..20]));
        assert_eq!(seqs(&reader.read().unwrap()), [Some(1)]);
        assert!(reader.read().unwrap().is_empty());
        append(&path, &format!("{}\n", &line(1, 2)[20..]));
        assert_eq!(seqs(&reader.read().unwrap()), [Some(2)]);
    }

    #[test]
    fn a_torn_line_is_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        append(
            &path,
            &format!("{}\n{}\n{}\n", line(1, 1), &line(1, 2)[..30], line(2, 1)),
        );
        let mut reader = JournalReader::new(path, 0);
        assert_eq!(seqs(&reader.read().unwrap()), [Some(1), None, Some(1)]);
    }

    #[test]
    fn reading_goes_on_where_another_reader_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        append(&path, &format!("{}\n{}\n", line(1, 1), line(1, 2)));
        let first = JournalReader::new(path.clone(), 0)
            .read()
            .unwrap()
            .remove(0);
        assert_eq!(
            seqs(&JournalReader::new(path, first.end).read().unwrap()),
            [Some(2)]
        );
    }

    #[test]
    fn a_journal_that_was_replaced_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        append(&path, &format!("{}\n", line(1, 1)));
        assert_eq!(
            seqs(&JournalReader::new(path, 10_000).read().unwrap()),
            [Some(1)]
        );
    }

    #[test]
    fn endless_rubbish_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        append(&path, &"x".repeat(3 * CHUNK));
        append(&path, &format!("\n{}\n", line(1, 1)));
        let mut reader = JournalReader::new(path, 0);
        let mut found = vec![];
        loop {
            let lines = reader.read().unwrap();
            if lines.is_empty() {
                break;
            }
            found.extend(seqs(&lines).into_iter().flatten());
        }
        assert_eq!(found, [1]);
    }
}
