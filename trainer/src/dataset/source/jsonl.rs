//! A line of a JSONL file is one document.

use super::{
    DatasetError, MAX_LINE_BYTES, PIECE_BYTES, Rows,
    limited::{Limited, Meter},
};
use flate2::read::MultiGzDecoder;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::PathBuf,
};

pub(super) struct Jsonl {
    path: PathBuf,
    column: String,
    reader: Box<dyn BufRead>,
    meter: Meter,
    /// Lines that have been read.
    lines: u64,
}

impl Jsonl {
    pub fn open(path: PathBuf, column: &str) -> Result<Self, DatasetError> {
        Self::over(path, column, |file| {
            Box::new(BufReader::with_capacity(PIECE_BYTES, file))
        })
    }

    /// Compressed with gzip.
    pub fn open_gz(path: PathBuf, column: &str) -> Result<Self, DatasetError> {
        Self::over(path, column, |file| {
            let decoded = MultiGzDecoder::new(BufReader::with_capacity(PIECE_BYTES, file));
            Box::new(BufReader::with_capacity(PIECE_BYTES, decoded))
        })
    }

    fn over(
        path: PathBuf,
        column: &str,
        reader: impl FnOnce(Limited<File>) -> Box<dyn BufRead>,
    ) -> Result<Self, DatasetError> {
        let file = File::open(&path).map_err(|source| DatasetError::FileMissing {
            path: path.clone(),
            source,
        })?;
        // Lines have a limit of their own; here bytes are only counted.
        let (file, meter) = Limited::new(file);
        meter.allow(u64::MAX);
        Ok(Self {
            path,
            column: column.to_owned(),
            reader: reader(file),
            meter,
            lines: 0,
        })
    }

    fn read_line(&mut self) -> Result<Option<Vec<u8>>, DatasetError> {
        let mut line = Vec::new();
        let most = MAX_LINE_BYTES as u64 + 1;
        let read = (&mut self.reader)
            .take(most)
            .read_until(b'\n', &mut line)
            .map_err(|source| DatasetError::Read {
                path: self.path.clone(),
                source,
            })?;
        if read == 0 {
            return Ok(None);
        }
        self.lines += 1;
        if line.len() > MAX_LINE_BYTES {
            return Err(DatasetError::LineTooLong {
                path: self.path.clone(),
                line: self.lines,
                most: MAX_LINE_BYTES,
            });
        }
        if self.lines == 1 && line.starts_with("\u{feff}".as_bytes()) {
            line.drain(..3);
        }
        Ok(Some(line))
    }

    fn text_of(&self, line: &[u8]) -> Result<String, DatasetError> {
        let (path, number) = (|| self.path.clone(), self.lines);
        if std::str::from_utf8(line).is_err() {
            return Err(DatasetError::NotUtf8 {
                path: path(),
                line: number,
            });
        }
        let mut object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(line).map_err(|error| DatasetError::BadLine {
                path: path(),
                line: number,
                detail: error.to_string(),
            })?;
        let found = match object.remove(&self.column) {
            Some(serde_json::Value::String(text)) => return Ok(text),
            Some(_) => "it holds something else than a string".to_owned(),
            None => {
                let columns: Vec<_> = object.keys().take(20).map(String::as_str).collect();
                format!("the line has {}", columns.join(", "))
            }
        };
        Err(DatasetError::NoText {
            path: path(),
            line: number,
            column: self.column.clone(),
            found,
        })
    }
}

impl Rows for Jsonl {
    fn next_text(&mut self) -> Result<Option<String>, DatasetError> {
        while let Some(line) = self.read_line()? {
            if !line.iter().all(u8::is_ascii_whitespace) {
                return self.text_of(&line).map(Some);
            }
        }
        Ok(None)
    }

    fn read_bytes(&self) -> u64 {
        self.meter.read_bytes()
    }
}
