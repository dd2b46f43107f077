//! The archive: segments of the log that have left the database for files.
//!
//! The oldest segments leave first, so one transaction id divides the log: what is below is in files, what is not in the table. It is
//! read in the statement that also reads the table, hence nothing is missed while a segment leaves. Of an archived segment the
//! table keeps what the database itself asks about: see `log.archive_segment()`.
//!
//! In memory: 4 MiB of frames, the footers of [`OPEN_FILES`] files, and a few numbers for each segment.

mod archiver;
mod cache;
mod error;
mod format;
mod line;
mod read;
mod search;
mod segments;
mod write;

pub use archiver::{Archived, Archiver, ArchiverOptions, Due};
pub use error::ArchiveError;
pub use segments::{Segment, SegmentState, segments};

pub(crate) use format::hex;
pub(crate) use line::Line;
pub(crate) use search::Filter;

use cache::Cache;
use read::SegmentFile;
use sqlx::PgPool;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

/// So many files are held open.
const OPEN_FILES: usize = 4;

/// The segment files, as far as they are known here. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Archive {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    directory: Option<PathBuf>,
    known: RwLock<Arc<Known>>,
    cache: Cache,
    open: Mutex<Vec<Arc<SegmentFile>>>,
}

/// What has left the database. It never comes back, so this can only be behind.
#[derive(Debug, Default)]
struct Known {
    /// Every event with a lower transaction id is in a file.
    to: i64,
    files: Vec<Place>,
}

/// A file that holds a segment.
#[derive(Clone, Debug)]
struct Place {
    segment: i32,
    /// Its transaction ids are below this.
    to: i64,
    file: String,
    bytes: u64,
    sha256: Vec<u8>,
}

impl Archive {
    /// An archive in a directory.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            shared: Arc::new(Shared {
                directory: Some(directory),
                ..Shared::default()
            }),
        }
    }

    /// Every event with a lower transaction id is in a file, as far as is known here.
    pub(crate) fn to(&self) -> i64 {
        self.known().to
    }

    /// Learns which files there are, when the database says that there are more.
    pub(crate) async fn learn(&self, pool: &PgPool, to: i64) -> Result<(), sqlx::Error> {
        if self.to() >= to {
            return Ok(());
        }
        let files: Vec<(i32, i64, String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT number, to_transaction_id, file, bytes, sha256 FROM log.segments WHERE archived_at IS NOT NULL ORDER BY number",
        )
        .fetch_all(pool)
        .await?;
        let files: Vec<Place> = files
            .into_iter()
            .map(|(segment, to, file, bytes, sha256)| Place {
                segment,
                to,
                file,
                bytes: bytes.unsigned_abs(),
                sha256,
            })
            .collect();
        let to = files.last().map_or(0, |last| last.to);
        let mut known = self
            .shared
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if known.to < to {
            *known = Arc::new(Known { to, files });
        }
        Ok(())
    }

    fn known(&self) -> Arc<Known> {
        let known = self
            .shared
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    /// Opens a segment's file, unless it is open.
    fn open(&self, place: &Place) -> Result<Arc<SegmentFile>, ArchiveError> {
        let directory = self
            .shared
            .directory
            .as_deref()
            .ok_or(ArchiveError::NoDirectory {
                segment: place.segment,
            })?;
        let mut open = self
            .shared
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = open.iter().position(|file| file.segment == place.segment) {
            let file = open.remove(n);
            open.push(file.clone());
            return Ok(file);
        }
        let path = path(directory, &place.file);
        let file = Arc::new(SegmentFile::open(&path, place.segment, place.bytes)?);
        if open.len() >= OPEN_FILES {
            open.remove(0);
        }
        open.push(file.clone());
        Ok(file)
    }

    /// Does something that reads files on a thread that may wait for the disk.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        attempt: &'static str,
        work: impl FnOnce(&Self) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let archive = self.clone();
        tokio::task::spawn_blocking(move || work(&archive))
            .await
            .unwrap_or(Err(ArchiveError::Panicked { attempt }))
    }
}

/// The file's path: its name, and nothing that leads elsewhere.
fn path(directory: &Path, file: &str) -> PathBuf {
    directory.join(Path::new(file).file_name().unwrap_or_default())
}
