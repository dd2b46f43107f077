//! Hashing a file as whoever named it did.

use super::named::Kind;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
};

/// Bytes that are hashed at a time.
const CHUNK: usize = 1 << 20;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is missing")]
    Missing,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("it was altered: its sha256 is {found} instead of {expected}")]
    Altered { found: String, expected: String },
}

/// Compares a file or directory with its hash, and says how large it is.
pub(super) fn check(kind: Kind, path: &Path, expected: &str) -> Result<u64, Unusable> {
    let mut size = 0;
    let hashed = match kind {
        Kind::File => file(path, b"", &mut size),
        Kind::Text => file(path, b"\xff", &mut size),
        Kind::Directory => directory(path, &mut size),
    };
    let found = hashed.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Unusable::Missing,
        _ => Unusable::Unreadable(error),
    })?;
    if found == expected {
        Ok(size)
    } else {
        Err(Unusable::Altered {
            found,
            expected: expected.to_owned(),
        })
    }
}

fn file(path: &Path, after: &[u8], size: &mut u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        hash.update(&chunk[..length]);
        *size += length as u64;
    }
    hash.update(after);
    Ok(format!("{:x}", hash.finalize()))
}

fn directory(path: &Path, size: &mut u64) -> io::Result<String> {
    let mut paths = Vec::new();
    list(path, &mut paths)?;
    paths.sort();
    let mut all = Sha256::new();
    for below in paths {
        let name = below.strip_prefix(path).unwrap_or(&below);
        let hash = file(&below, b"", size)?;
        all.update(format!("{hash}  {}\n", name.to_string_lossy()));
    }
    Ok(format!("{:x}", all.finalize()))
}

fn list(directory: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), paths)?;
        } else {
            paths.push(entry.path());
        }
    }
    Ok(())
}
