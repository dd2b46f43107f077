//! Reading a segment file: frame by frame, each checked against the SHA-256 that the footer has of it.

use super::{
    ArchiveError,
    cache::Cache,
    format::{Block, END, END_BYTES, Footer, MOST_BYTES, Page, VERSION, hex},
    line::{self, Impossible, Line},
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// An open segment file. In memory: its footer, about 200 bytes for each frame of 256 KiB.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(super) segment: i32,
    path: PathBuf,
    file: File,
    footer: Footer,
}

/// The frames of a segment that hold some of a stream, and the first version in each.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct StreamBlocks(pub(super) Vec<(usize, i64)>);

impl SegmentFile {
    /// Opens the file of a segment, which has so many bytes.
    pub(super) fn open(path: &Path, segment: i32, bytes: u64) -> Result<Self, ArchiveError> {
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ArchiveError::Missing {
                segment,
                path: path.to_owned(),
            },
            _ => ArchiveError::disk("open", path)(error),
        })?;
        let damaged = |what: &str| ArchiveError::Damaged {
            segment,
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let metadata = file
            .metadata()
            .map_err(ArchiveError::disk("look at", path))?;
        if metadata.len() != bytes {
            return Err(damaged(&format!(
                "it has {} bytes instead of {bytes}",
                metadata.len()
            )));
        }
        let mut end = [0; END_BYTES];
        let end_at = bytes
            .checked_sub(END_BYTES as u64)
            .ok_or_else(|| damaged("it is too short"))?;
        read_at(&file, path, &mut end, end_at)?;
        let (digest, rest) = end.split_at(32);
        let (length, magic) = rest.split_at(4);
        if magic != END {
            return Err(damaged("its end is not that of a segment"));
        }
        let length = u32::from_le_bytes(length.try_into().unwrap_or_default());
        let footer_at = end_at
            .checked_sub(u64::from(length))
            .ok_or_else(|| damaged("its footer is longer than the file"))?;
        let mut footer = vec![0; length as usize];
        read_at(&file, path, &mut footer, footer_at)?;
        if *digest != *Sha256::digest(&footer) {
            return Err(damaged("its footer was altered"));
        }
        let footer: Footer = serde_json::from_slice(&footer)
            .map_err(|error| damaged(&format!("its footer cannot be read: {error}")))?;
        if footer.version != VERSION {
            return Err(damaged(&format!(
                "it has form {}, and this program reads form {VERSION}",
                footer.version
            )));
        }
        if footer.segment != segment {
            return Err(damaged(&format!("it holds segment {}", footer.segment)));
        }
        Ok(Self {
            segment,
            path: path.to_owned(),
            file,
            footer,
        })
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.footer.blocks
    }

    pub(super) fn text_sha256(&self) -> &str {
        &self.footer.text_sha256
    }

    /// The lines of a frame of events.
    pub(super) fn block(&self, index: usize, cache: &Cache) -> Result<Arc<str>, ArchiveError> {
        let block = self
            .footer
            .blocks
            .get(index)
            .ok_or_else(|| self.damaged("its directory names a frame that is not there"))?;
        self.text(
            block.offset,
            block.bytes,
            block.text_bytes,
            &block.sha256,
            cache,
        )
    }

    /// Which frames hold some of a stream.
    pub(super) fn stream(
        &self,
        category: &str,
        id: &str,
        cache: &Cache,
    ) -> Result<StreamBlocks, ArchiveError> {
        let after = self.footer.pages.partition_point(|page| {
            (page.first.0.as_str(), page.first.1.as_str()) <= (category, id)
        });
        let Some(page) = after.checked_sub(1).and_then(|n| self.footer.pages.get(n)) else {
            return Ok(StreamBlocks::default());
        };
        let Page {
            offset,
            bytes,
            text_bytes,
            ref sha256,
            ..
        } = *page;
        let text = self.text(offset, bytes, text_bytes, sha256, cache)?;
        let name = serde_json::to_string(&(category, id))
            .map_err(|error| self.damaged(&error.to_string()))?;
        let Some(found) = text
            .lines()
            .find_map(|line| line.strip_prefix(name.as_str())?.strip_prefix('\t'))
        else {
            return Ok(StreamBlocks::default());
        };
        found
            .split('\t')
            .skip(2)
            .map(|place| {
                let (block, version) = place.split_once(':')?;
                Some((block.parse().ok()?, version.parse().ok()?))
            })
            .collect::<Option<_>>()
            .map(StreamBlocks)
            .ok_or_else(|| self.damaged("its directory of streams cannot be read"))
    }

    /// Reads a line of this file.
    pub(super) fn parse<'a>(&self, line: &'a str) -> Result<Line<'a>, ArchiveError> {
        Line::parse(line).map_err(|error| self.impossible(error))
    }

    /// Where a line of this file stands.
    pub(super) fn position(&self, line: &str) -> Result<(i64, i64), ArchiveError> {
        line::position(line).map_err(|error| self.impossible(error))
    }

    /// Whether the file as a whole has this SHA-256.
    pub(super) fn check(&self, sha256: &[u8]) -> Result<(), ArchiveError> {
        let mut file = File::open(&self.path).map_err(ArchiveError::disk("open", &self.path))?;
        let mut whole = Sha256::new();
        let mut piece = vec![0; 256 * 1024];
        loop {
            let read = file
                .read(&mut piece)
                .map_err(ArchiveError::disk("read", &self.path))?;
            if read == 0 {
                break;
            }
            whole.update(&piece[..read]);
        }
        if *whole.finalize() == *sha256 {
            Ok(())
        } else {
            Err(self.damaged("its SHA-256 is not that which the database has of it"))
        }
    }

    pub(super) fn damaged(&self, what: &str) -> ArchiveError {
        ArchiveError::Damaged {
            segment: self.segment,
            path: self.path.clone(),
            what: what.to_owned(),
        }
    }

    fn impossible(&self, error: Impossible) -> ArchiveError {
        self.damaged(&error.to_string())
    }

    fn text(
        &self,
        offset: u64,
        bytes: u32,
        text_bytes: u32,
        sha256: &str,
        cache: &Cache,
    ) -> Result<Arc<str>, ArchiveError> {
        if let Some(text) = cache.get((self.segment, offset)) {
            return Ok(text);
        }
        if u64::from(text_bytes) > MOST_BYTES {
            return Err(self.damaged("a frame is impossibly large"));
        }
        let mut frame = vec![0; bytes as usize];
        read_at(&self.file, &self.path, &mut frame, offset)?;
        if hex(&Sha256::digest(&frame)) != sha256 {
            return Err(self.damaged(&format!("the {bytes} bytes from {offset} on were altered")));
        }
        let text = zstd::bulk::decompress(&frame, text_bytes as usize)
            .map_err(|error| self.damaged(&error.to_string()))?;
        let text: Arc<str> = String::from_utf8(text)
            .map_err(|_| self.damaged("a frame is no UTF-8"))?
            .into();
        cache.put((self.segment, offset), text.clone());
        Ok(text)
    }
}

fn read_at(file: &File, path: &Path, bytes: &mut [u8], at: u64) -> Result<(), ArchiveError> {
    file.read_exact_at(bytes, at)
        .map_err(ArchiveError::disk("read", path))
}
