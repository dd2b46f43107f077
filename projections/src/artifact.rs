//! Artifacts: immutable Parquet files whose rows become rows of tables. A file is believed only when its bytes are those that the event
//! speaks of; what cannot be believed is a gap in the read model, recorded by name, and never a reason to stop.

mod columns;
mod gap;
mod reading;

pub(crate) use columns::Batch;
pub(crate) use gap::record as record_gap;
pub(crate) use reading::{Cut, Reading};

use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{ErrorKind, Read, Seek},
};
use trainmaster_domain::run::journal::Artifact;

/// Bytes that are hashed at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Why an artifact's rows cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the file is missing")]
    Missing,
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
    #[error("the file was altered: it has {found} bytes instead of {expected}")]
    Size { found: u64, expected: i64 },
    #[error("the file was altered: its sha256 is {found} instead of {expected}")]
    Digest { found: String, expected: String },
    #[error("the file is not as it should be: {0}")]
    Content(String),
}

/// Opens an artifact and reads all of it, to see whether it is the one that is meant.
fn open(artifact: &Artifact) -> Result<File, Unusable> {
    let unreadable = |error: std::io::Error| Unusable::Unreadable(error.to_string());
    let mut file = File::open(&artifact.path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unusable::Missing,
        _ => unreadable(error),
    })?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Unusable::Unreadable("it is not a file".to_owned()));
    }
    if u64::try_from(artifact.size_bytes) != Ok(metadata.len()) {
        return Err(Unusable::Size {
            found: metadata.len(),
            expected: artifact.size_bytes,
        });
    }
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk).map_err(unreadable)?;
        if length == 0 {
            break;
        }
        hash.update(chunk.get(..length).unwrap_or_default());
    }
    let found = format!("{:x}", hash.finalize());
    if found != artifact.sha256 {
        return Err(Unusable::Digest {
            found,
            expected: artifact.sha256.clone(),
        });
    }
    file.rewind().map_err(unreadable)?;
    Ok(file)
}
