//! A row of a CSV file (RFC 4180, comma-separated, with a header) is one document.

use super::{
    DatasetError, MAX_LINE_BYTES, PIECE_BYTES, Rows,
    limited::{Limited, Meter},
};
use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use std::{fs::File, path::PathBuf};

pub(super) struct Csv {
    path: PathBuf,
    column: String,
    reader: Reader<Limited<File>>,
    meter: Meter,
    /// Where the text is; none in an empty file.
    index: Option<usize>,
    row: ByteRecord,
}

impl Csv {
    pub fn open(path: PathBuf, column: &str) -> Result<Self, DatasetError> {
        let file = File::open(&path).map_err(|source| DatasetError::FileMissing {
            path: path.clone(),
            source,
        })?;
        let (file, meter) = Limited::new(file);
        let reader = ReaderBuilder::new()
            .flexible(true)
            .buffer_capacity(PIECE_BYTES)
            .from_reader(file);
        let mut opened = Self {
            path,
            column: column.to_owned(),
            reader,
            meter,
            index: None,
            row: ByteRecord::new(),
        };
        opened.allow_a_row();
        let header = match opened.reader.byte_headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(opened.wrong(error, 1)),
        };
        if header.is_empty() {
            return Ok(opened);
        }
        opened.index = header.iter().position(|name| name == column.as_bytes());
        if opened.index.is_none() {
            return Err(DatasetError::NoColumn {
                path: opened.path,
                column: opened.column,
                columns: header
                    .iter()
                    .map(|name| String::from_utf8_lossy(name).into_owned())
                    .collect(),
            });
        }
        Ok(opened)
    }

    /// What a row may have, and what the reader may read ahead.
    fn allow_a_row(&self) {
        self.meter.allow((MAX_LINE_BYTES + PIECE_BYTES) as u64);
    }

    fn wrong(&self, error: csv::Error, line: u64) -> DatasetError {
        if self.meter.is_used_up() {
            return DatasetError::LineTooLong {
                path: self.path.clone(),
                line,
                most: MAX_LINE_BYTES,
            };
        }
        let detail = error.to_string();
        match error.into_kind() {
            ErrorKind::Io(source) => DatasetError::Read {
                path: self.path.clone(),
                source,
            },
            _ => DatasetError::Malformed {
                path: self.path.clone(),
                what: "a CSV file",
                detail,
            },
        }
    }
}

impl Rows for Csv {
    fn next_text(&mut self) -> Result<Option<String>, DatasetError> {
        let Some(index) = self.index else {
            return Ok(None);
        };
        self.allow_a_row();
        let line = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.row) {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(self.wrong(error, line)),
        }
        let line = self.row.position().map_or(line, csv::Position::line);
        let Some(text) = self.row.get(index) else {
            return Err(DatasetError::NoText {
                path: self.path.clone(),
                line,
                column: self.column.clone(),
                found: format!("the row has {} fields", self.row.len()),
            });
        };
        if text.len() > MAX_LINE_BYTES {
            return Err(DatasetError::LineTooLong {
                path: self.path.clone(),
                line,
                most: MAX_LINE_BYTES,
            });
        }
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(DatasetError::NotUtf8 {
                path: self.path.clone(),
                line,
            }),
        }
    }

    fn read_bytes(&self) -> u64 {
        self.meter.read_bytes()
    }
}
