//! Writing `journal.jsonl`.

use super::durable::sync_directory;
use chrono::Utc;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Error, Read, Seek, SeekFrom, Write};
use std::path::Path;
use trainmaster_domain::Lease;
use trainmaster_domain::run::journal::{JournalRecord, MAX_LINE_BYTES, Record};

/// The journal of a run, opened to speak under one lease.
#[derive(Debug)]
pub struct Journal {
    file: File,
    lease: Lease,
    next_seq: u64,
    /// Whether the file ends within a line.
    torn: bool,
}

impl Journal {
    /// Opens a run's journal, making it if there is none, and ends a line that a predecessor left unfinished. Numbering goes on where this
    /// lease left off, should it have spoken before.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn open(path: &Path, lease: Lease) -> Result<Self, Error> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let mut next_seq = 1;
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if let Ok(record) = serde_json::from_slice::<JournalRecord>(&line)
                && record.lease == lease
            {
                next_seq = next_seq.max(record.seq + 1);
            }
            line.clear();
        }
        let mut last = *b"\n";
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        } else if let Some(directory) = path.parent() {
            sync_directory(directory)?;
        }
        let mut journal = Self {
            file,
            lease,
            next_seq,
            torn: last != *b"\n",
        };
        journal.end_torn_line()?;
        Ok(journal)
    }

    fn end_torn_line(&mut self) -> Result<(), Error> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        Ok(())
    }

    /// Appends a record in one write; `durable` waits until it is on the disk.
    ///
    /// # Errors
    /// What the operating system says. The number is then not used up, and a line that was written in part is ended before the next.
    pub fn append(&mut self, record: Record, durable: bool) -> Result<(), Error> {
        let mut line = serde_json::to_vec(&JournalRecord {
            lease: self.lease,
            seq: self.next_seq,
            at: Utc::now(),
            record,
        })?;
        line.push(b'\n');
        if line.len() > MAX_LINE_BYTES {
            return Err(Error::other(format!(
                "a record of {} bytes is longer than the contract allows",
                line.len()
            )));
        }
        self.end_torn_line()?;
        let written = loop {
            match self.file.write(&line) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if written < line.len() {
            // The disk is full to the byte. What was written is not a record.
            self.torn = true;
            return Err(Error::from(std::io::ErrorKind::StorageFull));
        }
        self.next_seq += 1;
        if durable {
            self.file.sync_data()?;
        }
        Ok(())
    }
}
