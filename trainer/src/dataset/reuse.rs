//! Text that has been tokenised before is not tokenised again.
//!
//! Tokens depend on the text, the tokenizer and the length of a sequence, so these make the [`key`] that the directory is
//! called by: `datasets/<id>/tokenized/<key>`. Another dataset's directory of the same key holds the same files, which are
//! linked, not copied, so that each dataset can be deleted without regard to others.

use super::{
    DatasetError, Statistics, TokenizedDataset,
    format::{FORMAT_VERSION, STATISTICS_FILE, TOKENS_FILE},
};
use crate::tokenizer::{Tokenizer, hex};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// What the directory of a tokenised dataset is called: 32 characters of lower-case hex.
#[must_use]
pub fn key(content_sha256: &str, tokenizer: &Tokenizer, context_length: u32) -> String {
    let id = |id: Option<u32>| id.map_or_else(|| "none".to_owned(), |id| id.to_string());
    let all = format!(
        "tokens {FORMAT_VERSION}\ntext {content_sha256}\ntokenizer {}\nbegins {}\nseparator {}\nlength {context_length}\n",
        tokenizer.sha256(),
        id(tokenizer.bos()),
        id(tokenizer.separator()),
    );
    let mut key = hex(&Sha256::digest(all));
    key.truncate(32);
    key
}

/// Links the files of an earlier tokenisation in the directory `from` into the existing, empty directory `into`, synced.
/// None when there are none, or they are not whole.
///
/// # Errors
/// [`DatasetError::Write`]: the directory's disk is full, say.
pub fn reuse(from: &Path, into: &Path) -> Result<Option<Statistics>, DatasetError> {
    let Ok(before) = TokenizedDataset::open(from) else {
        return Ok(None);
    };
    if before.verify().is_err() {
        return Ok(None);
    }
    for name in [TOKENS_FILE, STATISTICS_FILE] {
        let (file, link) = (from.join(name), into.join(name));
        let linked = fs::hard_link(&file, &link).or_else(|_| copy(&file, &link));
        if let Err(source) = linked {
            // What is deleted meanwhile is tokenised again.
            return if source.kind() == io::ErrorKind::NotFound {
                remove(into)
            } else {
                Err(DatasetError::Write { path: link, source })
            };
        }
    }
    Ok(Some(before.statistics().clone()))
}

/// For file systems without links, and from one to another.
fn copy(file: &Path, to: &Path) -> io::Result<()> {
    fs::copy(file, to)?;
    File::open(to)?.sync_all()
}

fn remove(directory: &Path) -> Result<Option<Statistics>, DatasetError> {
    for name in [TOKENS_FILE, STATISTICS_FILE] {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(DatasetError::Write { path, source });
            }
            _ => {}
        }
    }
    Ok(None)
}
