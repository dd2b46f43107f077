//! A row of an Arrow IPC file (or stream, which is what datasets' own caches are) is one document.
//!
//! A record batch is read at a time, so one of more than [`MAX_BATCH_BYTES`] is refused before anything is read.

use super::{
    DatasetError, PIECE_BYTES, Rows,
    limited::{Limited, Meter},
    strings::{self, Strings},
};
use arrow_array::RecordBatch;
use arrow_ipc::{
    reader::{FileReader, StreamReader},
    root_as_message,
};
use arrow_schema::{ArrowError, Schema};
use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// The largest record batch that is read.
pub(super) const MAX_BATCH_BYTES: u64 = 512 << 20;
const MAX_METADATA_BYTES: u32 = 64 << 20;
const FILE_MAGIC: &[u8; 6] = b"ARROW1";
/// Stands before the length of a message since version 0.15 of the format.
const CONTINUATION: u32 = u32::MAX;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

pub(super) struct Arrow {
    path: PathBuf,
    batches: Batches,
    batch: Option<Strings>,
    rows: u64,
    meter: Meter,
}

impl Arrow {
    pub fn open(path: PathBuf, column: &str) -> Result<Self, DatasetError> {
        let is_file = check_batches(&path)?;
        let index = {
            let (reader, _) = metered(&path)?;
            let schema = if is_file {
                FileReader::try_new(reader, None).map(|reader| reader.schema())
            } else {
                StreamReader::try_new(reader, None).map(|reader| reader.schema())
            };
            let schema = schema.map_err(|error| malformed(&path, &error))?;
            strings::column_of(&path, Schema::as_ref(&schema), column)?
        };
        let (reader, meter) = metered(&path)?;
        let only = Some(vec![index]);
        let batches = if is_file {
            FileReader::try_new(reader, only).map(|reader| Box::new(reader) as Batches)
        } else {
            StreamReader::try_new(reader, only).map(|reader| Box::new(reader) as Batches)
        };
        let batches = batches.map_err(|error| malformed(&path, &error))?;
        Ok(Self {
            path,
            batches,
            batch: None,
            rows: 0,
            meter,
        })
    }
}

impl Rows for Arrow {
    fn next_text(&mut self) -> Result<Option<String>, DatasetError> {
        loop {
            if let Some(batch) = &mut self.batch {
                if let Some(text) = batch.next(&self.path, self.rows)? {
                    return Ok(Some(text));
                }
                self.rows += batch.len();
                self.batch = None;
            }
            match self.batches.next() {
                None => return Ok(None),
                Some(Ok(batch)) => self.batch = Some(Strings::new(batch.column(0).clone())),
                Some(Err(error)) => return Err(malformed(&self.path, &error)),
            }
        }
    }

    fn read_bytes(&self) -> u64 {
        self.meter.read_bytes()
    }
}

fn metered(path: &Path) -> Result<(BufReader<Limited<File>>, Meter), DatasetError> {
    let file = File::open(path).map_err(|source| DatasetError::FileMissing {
        path: path.to_owned(),
        source,
    })?;
    let (file, meter) = Limited::new(file);
    meter.allow(u64::MAX);
    Ok((BufReader::with_capacity(PIECE_BYTES, file), meter))
}

/// Goes from message to message, reading only how long each is. Whether it is a file, not a stream.
fn check_batches(path: &Path) -> Result<bool, DatasetError> {
    let file = File::open(path).map_err(|source| DatasetError::FileMissing {
        path: path.to_owned(),
        source,
    })?;
    let read = |source| DatasetError::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |detail: String| DatasetError::Malformed {
        path: path.to_owned(),
        what: "an Arrow file",
        detail,
    };
    let file_bytes = file.metadata().map_err(read)?.len();
    let mut reader = BufReader::new(file);
    let mut magic = [0; 6];
    let is_file = match reader.read_exact(&mut magic) {
        Ok(()) => &magic == FILE_MAGIC,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(wrong(format!("it has {file_bytes} bytes")));
        }
        Err(error) => return Err(read(error)),
    };
    // The file form is the stream form between a magic word, padded to 8 bytes, and a footer.
    reader
        .seek(SeekFrom::Start(if is_file { 8 } else { 0 }))
        .map_err(read)?;
    for number in 0.. {
        let Some(mut length) = word(&mut reader).map_err(read)? else {
            break;
        };
        if length == CONTINUATION {
            match word(&mut reader).map_err(read)? {
                Some(real) => length = real,
                None => break,
            }
        }
        if length == 0 {
            break;
        }
        if length > MAX_METADATA_BYTES {
            return Err(wrong(format!(
                "message {number} would begin with {length} bytes of description"
            )));
        }
        let mut metadata = vec![0; length as usize];
        reader
            .read_exact(&mut metadata)
            .map_err(|_| wrong(format!("it ends within message {number}; is it whole?")))?;
        let message = root_as_message(&metadata)
            .map_err(|error| wrong(format!("message {number}: {error}")))?;
        let body = u64::try_from(message.bodyLength()).unwrap_or(u64::MAX);
        if body > MAX_BATCH_BYTES {
            return Err(DatasetError::BatchTooLarge {
                path: path.to_owned(),
                what: format!("record batch {number} has {body} bytes"),
                most: MAX_BATCH_BYTES,
            });
        }
        let after = reader.stream_position().map_err(read)? + body;
        if after > file_bytes {
            return Err(wrong(format!(
                "it ends within message {number}; is it whole?"
            )));
        }
        reader
            .seek_relative(i64::try_from(body).unwrap_or(i64::MAX))
            .map_err(read)?;
    }
    Ok(is_file)
}

/// None at the end.
fn word(reader: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = [0; 4];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn malformed(path: &Path, error: &ArrowError) -> DatasetError {
    DatasetError::Malformed {
        path: path.to_owned(),
        what: "an Arrow file",
        detail: error
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}
