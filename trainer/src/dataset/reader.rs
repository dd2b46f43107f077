//! Reads a tokenised dataset through a memory map.

use super::{
    DatasetError, Statistics,
    format::{HEADER_BYTES, Header, STATISTICS_FILE, TOKENS_FILE},
    pack::sha256_of,
};
use memmap2::{Advice, Mmap};
use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};
use tch::Tensor;

/// A tokenised dataset, mapped into memory.
pub struct TokenizedDataset {
    path: PathBuf,
    map: Mmap,
    header: Header,
    statistics: Statistics,
}

/// Some sequences.
pub struct Batch {
    /// `[sequences, context length]`, i64.
    pub tokens: Tensor,
    /// `[sequences, context length]`, bool: true where there is text, not a beginning, a separator or padding.
    pub is_text: Tensor,
}

impl TokenizedDataset {
    /// Opens the directory that [`super::tokenize`] filled. The length of the file is checked against its header; its hash is
    /// not (see [`Self::verify`]).
    ///
    /// # Errors
    /// [`DatasetError`]: missing, truncated, altered.
    pub fn open(directory: &Path) -> Result<Self, DatasetError> {
        let path = directory.join(TOKENS_FILE);
        let truncated = |detail: String| DatasetError::Truncated {
            path: path.clone(),
            detail,
        };
        let altered = |detail: String| DatasetError::Altered {
            path: path.clone(),
            detail,
        };
        let file = File::open(&path).map_err(|source| DatasetError::FileMissing {
            path: path.clone(),
            source,
        })?;
        // SAFETY: the file was renamed into place whole and nothing of ours writes to it again; should another program cut it
        // while it is mapped, the process is killed by a signal, which its runner sees, but reads nothing wrong.
        let map = unsafe { Mmap::map(&file) }.map_err(|source| DatasetError::Read {
            path: path.clone(),
            source,
        })?;
        let bytes: &[u8; HEADER_BYTES] = map.first_chunk().ok_or_else(|| {
            truncated(format!(
                "it has {} bytes, its header alone {HEADER_BYTES}",
                map.len()
            ))
        })?;
        let header = Header::from_bytes(bytes).map_err(altered)?;
        let expected = header
            .file_bytes()
            .ok_or_else(|| altered(format!("it would have {} sequences", header.sequences)))?;
        let found = map.len() as u64;
        if found < expected {
            return Err(truncated(format!(
                "it has {found} bytes, its header promises {expected}"
            )));
        }
        if found > expected {
            return Err(altered(format!(
                "it has {found} bytes, its header says {expected}"
            )));
        }
        let statistics = read_statistics(&directory.join(STATISTICS_FILE))?;
        if (statistics.num_sequences, statistics.context_length)
            != (header.sequences, header.context_length)
        {
            return Err(altered(
                "tokens.json speaks of another tokens.bin".to_owned(),
            ));
        }
        if header.sequences == 0 {
            return Err(DatasetError::Empty {
                path,
                detail: "it has no sequences".to_owned(),
            });
        }
        // Sequences are read in a random order; reading ahead would fetch what is not wanted. Only advice, so failing is no matter.
        let _ = map.advise(Advice::Random);
        Ok(Self {
            path,
            map,
            header,
            statistics,
        })
    }

    /// Reads the whole file and compares its hash with the one in `tokens.json`.
    ///
    /// # Errors
    /// [`DatasetError::Altered`]
    pub fn verify(&self) -> Result<(), DatasetError> {
        let found = sha256_of(&mut &self.map[..]).map_err(|source| DatasetError::Read {
            path: self.path.clone(),
            source,
        })?;
        if found == self.statistics.sha256 {
            return Ok(());
        }
        Err(DatasetError::Altered {
            path: self.path.clone(),
            detail: format!(
                "its SHA-256 is {found}, it was written with {}",
                self.statistics.sha256
            ),
        })
    }

    /// What is known of it.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Packed sequences.
    pub fn num_sequences(&self) -> u64 {
        self.header.sequences
    }

    /// Tokens of a sequence.
    pub fn context_length(&self) -> usize {
        self.header.context_length as usize
    }

    /// The id that begins every sequence.
    pub fn bos(&self) -> Option<u32> {
        self.header.bos
    }

    /// One more than the greatest id that can occur: what a model's vocabulary must have.
    pub fn id_bound(&self) -> u32 {
        self.header.id_bound
    }

    /// The tokens of a sequence, padding included.
    ///
    /// # Errors
    /// [`DatasetError::NoSuchSequence`]
    pub fn sequence(&self, index: u64) -> Result<Vec<u32>, DatasetError> {
        let none = || DatasetError::NoSuchSequence {
            index,
            sequences: self.header.sequences,
        };
        if index >= self.header.sequences {
            return Err(none());
        }
        let width = self.header.token_bytes as usize;
        let length = self.context_length() * width;
        // Within the map, whose length was checked, so within usize.
        let start = HEADER_BYTES + index as usize * length;
        let bytes = self.map.get(start..start + length).ok_or_else(none)?;
        Ok(bytes
            .chunks_exact(width)
            .map(|token| {
                token
                    .iter()
                    .rev()
                    .fold(0, |id, byte| id << 8 | u32::from(*byte))
            })
            .collect())
    }

    /// Several sequences, in the order given, and where text is in them.
    ///
    /// # Errors
    /// [`DatasetError::NoSuchSequence`], [`DatasetError::Torch`].
    pub fn batch(&self, sequences: &[u64]) -> Result<Batch, DatasetError> {
        let length = self.context_length();
        let mut tokens = Vec::with_capacity(sequences.len() * length);
        let mut is_text = Vec::with_capacity(sequences.len() * length);
        for index in sequences {
            let last = index + 1 == self.header.sequences;
            let filled = if last {
                self.header.last_length as usize
            } else {
                length
            };
            for (position, id) in self.sequence(*index)?.into_iter().enumerate() {
                let begins = position == 0 && self.header.bos.is_some();
                tokens.push(i64::from(id));
                is_text.push(!begins && position < filled && Some(id) != self.header.separator);
            }
        }
        let shape = [sequences.len() as i64, length as i64];
        Ok(Batch {
            tokens: Tensor::f_from_slice(&tokens)?.f_view(shape)?,
            is_text: Tensor::f_from_slice(&is_text)?.f_view(shape)?,
        })
    }
}

fn read_statistics(path: &Path) -> Result<Statistics, DatasetError> {
    let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
        ErrorKind::InvalidData => DatasetError::Altered {
            path: path.to_owned(),
            detail: source.to_string(),
        },
        _ => DatasetError::FileMissing {
            path: path.to_owned(),
            source,
        },
    })?;
    serde_json::from_str(&text).map_err(|error| DatasetError::Altered {
        path: path.to_owned(),
        detail: error.to_string(),
    })
}
