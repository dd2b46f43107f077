//! Writing a segment file: beside its place, synced, read back and only then named.

use super::{
    ArchiveError,
    format::{
        BLOCK_BYTES, Block, END, Footer, Header, LEVEL, Page, SKIPPABLE, SKIPPABLE_HEAD, VERSION,
        hex,
    },
    line::{Impossible, Line},
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// What is known of a segment that is about to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) segment: i32,
    pub(super) events: i64,
    pub(super) last: (i64, i64),
}

/// A file that is complete and synced, under its temporary name.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
    /// Of the lines as Postgres sent them.
    pub(super) text_sha256: [u8; 32],
}

/// Takes lines in the order of the log. In memory: a frame, and about 100 bytes for each stream of each frame.
pub(super) struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
    offset: u64,
    whole: Sha256,
    expected: Expected,
    text: Sha256,
    events: i64,
    block: Vec<u8>,
    first: (i64, i64),
    last: (i64, i64),
    blocks: Vec<Block>,
    streams: BTreeMap<(String, String), Stream>,
}

struct Stream {
    first: i64,
    last: i64,
    /// Which blocks hold some of it, and the first version in each.
    blocks: Vec<(usize, i64)>,
}

impl Writer {
    pub(super) fn create(path: &Path, expected: Expected) -> Result<Self, ArchiveError> {
        // Nobody else's business, wherever the directory is.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(ArchiveError::disk("make", path))?;
        let mut writer = Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            offset: 0,
            whole: Sha256::new(),
            expected,
            text: Sha256::new(),
            events: 0,
            block: Vec::with_capacity(BLOCK_BYTES + 4096),
            first: (i64::MIN, i64::MIN),
            last: (i64::MIN, i64::MIN),
            blocks: Vec::new(),
            streams: BTreeMap::new(),
        };
        let header = Header::new(expected.segment, expected.events, expected.last);
        let header = serde_json::to_vec_pretty(&header).map_err(|error| writer.failed(error))?;
        writer.skippable(&header)?;
        Ok(writer)
    }

    /// Takes a line, without its line break.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<(), ArchiveError> {
        let text =
            std::str::from_utf8(line).map_err(|_| self.refused("a row is no UTF-8".to_owned()))?;
        let event = Line::parse(text).map_err(|Impossible(column)| {
            self.refused(format!("a row has an impossible {column}"))
        })?;
        if event.computed_hash() != *event.hash {
            return Err(ArchiveError::Altered {
                stream: format!("{} {}", event.category, event.stream_id),
                version: event.version,
            });
        }
        let position = (event.transaction_id, event.sequence);
        if position <= self.last {
            return Err(self.refused("its rows are not in the order of the log".to_owned()));
        }
        if self.block.is_empty() {
            self.first = position;
        }
        self.last = position;
        let block = self.blocks.len();
        let stream = self
            .streams
            .entry((event.category.into_owned(), event.stream_id.into_owned()))
            .or_insert(Stream {
                first: event.version,
                last: event.version,
                blocks: Vec::new(),
            });
        stream.last = event.version;
        if stream.blocks.last().is_none_or(|(last, _)| *last != block) {
            stream.blocks.push((block, event.version));
        }
        self.text.update(line);
        self.text.update(b"\n");
        self.events += 1;
        self.block.extend_from_slice(line);
        self.block.push(b'\n');
        if self.block.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Writes directory and footer, and waits for the disk.
    pub(super) fn finish(mut self) -> Result<Written, ArchiveError> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let found = (self.events, self.last);
        if found != (self.expected.events, self.expected.last) {
            return Err(self.refused(format!(
                "it has {} events up to position {}-{}, but was closed with {} up to {}-{}",
                self.events,
                self.last.0,
                self.last.1,
                self.expected.events,
                self.expected.last.0,
                self.expected.last.1
            )));
        }
        let pages = self.directory()?;
        let text_sha256: [u8; 32] = self.text.clone().finalize().into();
        let footer = Footer {
            version: VERSION,
            segment: self.expected.segment,
            events: self.events,
            text_sha256: hex(&text_sha256),
            blocks: std::mem::take(&mut self.blocks),
            pages,
        };
        let mut footer = serde_json::to_vec(&footer).map_err(|error| self.failed(error))?;
        let length = u32::try_from(footer.len()).map_err(|error| self.failed(error))?;
        let digest = Sha256::digest(&footer);
        footer.extend_from_slice(&digest);
        footer.extend_from_slice(&length.to_le_bytes());
        footer.extend_from_slice(END);
        self.skippable(&footer)?;
        let synced = self
            .file
            .flush()
            .and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(ArchiveError::disk("write", &self.path))?;
        Ok(Written {
            path: self.path,
            bytes: self.offset,
            sha256: self.whole.finalize().into(),
            text_sha256,
        })
    }

    fn end_block(&mut self) -> Result<(), ArchiveError> {
        let frame = zstd::bulk::compress(&self.block, LEVEL)
            .map_err(ArchiveError::disk("compress events for", &self.path))?;
        let block = Block {
            offset: self.offset,
            bytes: u32::try_from(frame.len()).map_err(|error| self.failed(error))?,
            text_bytes: u32::try_from(self.block.len()).map_err(|error| self.failed(error))?,
            first: self.first,
            last: self.last,
            sha256: hex(&Sha256::digest(&frame)),
        };
        self.put(&frame)?;
        self.blocks.push(block);
        self.block.clear();
        Ok(())
    }

    /// The streams in their order, a page for about [`BLOCK_BYTES`] of them.
    fn directory(&mut self) -> Result<Vec<Page>, ArchiveError> {
        let mut pages = Vec::new();
        let mut text = String::new();
        let mut first = None;
        let streams = std::mem::take(&mut self.streams);
        let mut streams = streams.into_iter().peekable();
        while let Some(((category, id), stream)) = streams.next() {
            // Values without tabs and line breaks, as JSON writes them.
            let name = serde_json::to_string(&(&category, &id)).map_err(|e| self.failed(e))?;
            text.push_str(&format!("{name}\t{}\t{}", stream.first, stream.last));
            for (block, version) in stream.blocks {
                text.push_str(&format!("\t{block}:{version}"));
            }
            text.push('\n');
            let first_of_page = first.get_or_insert((category, id));
            if text.len() >= BLOCK_BYTES || streams.peek().is_none() {
                let frame = zstd::bulk::compress(text.as_bytes(), LEVEL)
                    .map_err(ArchiveError::disk("compress the directory of", &self.path))?;
                pages.push(Page {
                    offset: self.offset + SKIPPABLE_HEAD as u64,
                    bytes: u32::try_from(frame.len()).map_err(|error| self.failed(error))?,
                    text_bytes: u32::try_from(text.len()).map_err(|error| self.failed(error))?,
                    first: std::mem::take(first_of_page),
                    sha256: hex(&Sha256::digest(&frame)),
                });
                self.skippable(&frame)?;
                text.clear();
                first = None;
            }
        }
        Ok(pages)
    }

    fn skippable(&mut self, content: &[u8]) -> Result<(), ArchiveError> {
        let length = u32::try_from(content.len()).map_err(|error| self.failed(error))?;
        self.put(&SKIPPABLE.to_le_bytes())?;
        self.put(&length.to_le_bytes())?;
        self.put(content)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.whole.update(bytes);
        self.offset += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .map_err(ArchiveError::disk("write", &self.path))
    }

    fn refused(&self, what: String) -> ArchiveError {
        ArchiveError::Refused {
            segment: self.expected.segment,
            what,
        }
    }

    fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ArchiveError {
        ArchiveError::disk("write", &self.path)(io::Error::other(error))
    }
}
