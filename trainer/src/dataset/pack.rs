//! Packs tokens into sequences of equal length and writes them.

use super::{
    DatasetError, Statistics,
    format::{HEADER_BYTES, Header, STATISTICS_FILE, TOKENS_FILE},
};
use crate::tokenizer::{Tokenizer, hex};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Writes a tokenised dataset.
pub(super) struct Packer {
    directory: PathBuf,
    path: PathBuf,
    writer: BufWriter<File>,
    header: Header,
    vocab_size: u64,
    tokenizer_sha256: String,
    /// Tokens of the current sequence that have been written.
    filled: u32,
    samples: u64,
    tokens: u64,
}

impl Packer {
    /// Begins `tokens.bin` in `directory`.
    pub fn create(
        directory: &Path,
        tokenizer: &Tokenizer,
        context_length: u32,
    ) -> Result<Self, DatasetError> {
        let least = if tokenizer.bos().is_some() { 2 } else { 1 };
        if context_length < least {
            return Err(DatasetError::ContextTooShort {
                context_length,
                least,
            });
        }
        let id_bound = tokenizer.id_bound();
        let header = Header {
            token_bytes: if id_bound <= 1 << 16 { 2 } else { 4 },
            context_length,
            id_bound,
            bos: tokenizer.bos(),
            separator: tokenizer.separator(),
            sequences: 0,
            last_length: 0,
            padding: tokenizer.separator().or(tokenizer.bos()).unwrap_or(0),
        };
        let path = directory.join(TOKENS_FILE);
        let written = || -> io::Result<_> {
            // Read again in the end, for its hash.
            let file = File::options()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .open(&path)?;
            let mut writer = BufWriter::with_capacity(1 << 20, file);
            writer.write_all(&[0; HEADER_BYTES])?;
            Ok(writer)
        };
        let writer = written().map_err(|source| DatasetError::Write {
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            writer,
            header,
            vocab_size: tokenizer.vocab_size() as u64,
            tokenizer_sha256: tokenizer.sha256().to_owned(),
            filled: context_length,
            samples: 0,
            tokens: 0,
        })
    }

    /// Tokens of text so far.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Adds text of the current document.
    pub fn text(&mut self, ids: &[u32]) -> Result<(), DatasetError> {
        self.tokens += ids.len() as u64;
        self.add(ids).map_err(|source| DatasetError::Write {
            path: self.path.clone(),
            source,
        })
    }

    /// Ends the current document.
    pub fn end_document(&mut self) -> Result<(), DatasetError> {
        self.samples += 1;
        match self.header.separator {
            Some(separator) => self
                .add(&[separator])
                .map_err(|source| DatasetError::Write {
                    path: self.path.clone(),
                    source,
                }),
            None => Ok(()),
        }
    }

    fn add(&mut self, ids: &[u32]) -> io::Result<()> {
        for id in ids {
            if self.filled == self.header.context_length {
                self.header.sequences += 1;
                self.filled = 0;
                if let Some(bos) = self.header.bos {
                    self.write(bos)?;
                }
            }
            self.write(*id)?;
        }
        Ok(())
    }

    fn write(&mut self, id: u32) -> io::Result<()> {
        self.filled += 1;
        match u16::try_from(id) {
            Ok(id) if self.header.token_bytes == 2 => self.writer.write_all(&id.to_le_bytes()),
            _ => self.writer.write_all(&id.to_le_bytes()),
        }
    }

    /// Fills up the last sequence, and writes header and statistics, which say what text they are of.
    pub fn finish(mut self, content_sha256: String) -> Result<Statistics, DatasetError> {
        let sha256 = self.finish_tokens().map_err(|source| DatasetError::Write {
            path: self.path.clone(),
            source,
        })?;
        let statistics = Statistics {
            num_samples: self.samples,
            num_tokens: self.tokens,
            vocab_size: self.vocab_size,
            avg_sequence_length: self.tokens as f64 / self.samples.max(1) as f64,
            num_sequences: self.header.sequences,
            context_length: self.header.context_length,
            sha256,
            tokenizer_sha256: self.tokenizer_sha256,
            bos_token_id: self.header.bos,
            separator_token_id: self.header.separator,
            content_sha256,
        };
        let path = self.directory.join(STATISTICS_FILE);
        let write = || -> io::Result<()> {
            let mut file = File::create(&path)?;
            serde_json::to_writer_pretty(&mut file, &statistics)?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write().map_err(|source| DatasetError::Write {
            path: path.clone(),
            source,
        })?;
        Ok(statistics)
    }

    fn finish_tokens(&mut self) -> io::Result<String> {
        self.header.last_length = self.filled;
        while self.filled < self.header.context_length {
            self.write(self.header.padding)?;
        }
        self.writer.seek(SeekFrom::Start(0))?;
        self.writer.write_all(&self.header.to_bytes())?;
        self.writer.flush()?;
        let file = self.writer.get_mut();
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        sha256_of(file)
    }
}

/// Lower-case hex SHA-256 of what can be read.
pub(super) fn sha256_of(reader: &mut impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}
