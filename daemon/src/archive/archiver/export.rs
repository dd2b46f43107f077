//! A segment's file, from its table: written, synced, read back, compared, and only then named.

use super::{Archived, Archiver};
use crate::archive::{
    ArchiveError, Segment,
    cache::Cache,
    hex,
    line::COLUMNS,
    read::SegmentFile,
    write::{Expected, Writer, Written},
};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::Path,
};
use tokio::sync::mpsc;

/// So many pieces of rows may wait to be written.
const PIECES: usize = 64;

impl Archiver {
    /// Writes the file of a closed segment, reads it back, and gives it its name. The database is as before.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn write(&self, segment: &Segment) -> Result<Archived, ArchiveError> {
        let directory = self.options.directory.clone();
        let _lock = blocking("prepare the archive", move || prepare(&directory)).await?;
        let written = self.copy(segment).await?;
        let (directory, number) = (self.options.directory.clone(), segment.number);
        let events = segment.events;
        blocking("compare a segment file", move || {
            compare(&written, number)?;
            let sha256 = hex(&written.sha256);
            let file = format!("{number:08}-{}.events.zst", &sha256[..16]);
            let path = directory.join(&file);
            fs::rename(&written.path, &path).map_err(ArchiveError::disk("name", &path))?;
            sync(&directory)?;
            Ok(Archived {
                segment: number,
                events,
                file,
                bytes: written.bytes.cast_signed(),
                sha256,
            })
        })
        .await
    }
    async fn copy(&self, segment: &Segment) -> Result<Written, ArchiveError> {
        let number = segment.number;
        let failed = || ArchiveError::database(format!("read segment {number} of the log"));
        let expected = Expected {
            segment: number,
            events: segment.events,
            last: position(&segment.last_position),
        };
        let path = self.options.directory.join(format!(".{number:08}.tmp"));
        let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(PIECES);
        let writing = tokio::task::spawn_blocking(move || {
            let mut writer = Writer::create(&path, expected)?;
            let mut rest: Vec<u8> = Vec::new();
            while let Some(piece) = pieces.blocking_recv() {
                rest.extend_from_slice(&piece);
                let mut begin = 0;
                while let Some(length) = rest[begin..].iter().position(|byte| *byte == b'\n') {
                    writer.line(&rest[begin..begin + length])?;
                    begin += length + 1;
                }
                rest.drain(..begin);
            }
            writer.finish()
        });
        let copied = async {
            let mut transaction = self.owner.begin().await?;
            sqlx::raw_sql(
                "SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL timezone = 'UTC'; \
                 SET LOCAL datestyle = 'ISO'; SET LOCAL bytea_output = 'hex'",
            )
            .execute(&mut *transaction)
            .await?;
            // Names of our own, never input.
            let copy = format!(
                "COPY (SELECT {} FROM log.events_{number} ORDER BY transaction_id, sequence) TO STDOUT",
                COLUMNS.join(", ")
            );
            let mut rows = transaction.copy_out_raw(&copy).await?;
            while let Some(piece) = rows.try_next().await? {
                if sender.send(piece.to_vec()).await.is_err() {
                    break;
                }
            }
            drop(rows);
            Ok::<_, sqlx::Error>(())
        }
        .await;
        drop(sender);
        let written = writing.await.unwrap_or(Err(ArchiveError::Panicked {
            attempt: "write a segment file",
        }));
        copied.map_err(failed())?;
        written
    }
}

/// Makes the directory, and holds it: one writes there at a time. What an interrupted one left goes.
fn prepare(directory: &Path) -> Result<File, ArchiveError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(ArchiveError::disk("make", directory))?;
    let path = directory.join(".lock");
    let lock = File::create(&path).map_err(ArchiveError::disk("make", &path))?;
    lock.lock().map_err(ArchiveError::disk("lock", &path))?;
    let entries = fs::read_dir(directory).map_err(ArchiveError::disk("list", directory))?;
    for entry in entries {
        let path = entry.map_err(ArchiveError::disk("list", directory))?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            fs::remove_file(&path).map_err(ArchiveError::disk("remove", &path))?;
        }
    }
    Ok(lock)
}

/// Reads a file that was just written: it gives the lines that Postgres sent, byte for byte.
fn compare(written: &Written, segment: i32) -> Result<(), ArchiveError> {
    let file = SegmentFile::open(&written.path, segment, written.bytes)?;
    file.check(&written.sha256)?;
    let cache = Cache::default();
    let mut text = Sha256::new();
    for index in 0..file.blocks().len() {
        text.update(file.block(index, &cache)?.as_bytes());
    }
    let digest = text.finalize();
    if *digest == written.text_sha256 && file.text_sha256() == hex(&digest) {
        Ok(())
    } else {
        Err(file.damaged("it does not hold what was written"))
    }
}

fn sync(directory: &Path) -> Result<(), ArchiveError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(ArchiveError::disk("sync", directory))
}

async fn blocking<T: Send + 'static>(
    attempt: &'static str,
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(ArchiveError::Panicked { attempt }))
}

fn position(text: &str) -> (i64, i64) {
    text.split_once('-')
        .and_then(|(transaction, sequence)| {
            Some((transaction.parse().ok()?, sequence.parse().ok()?))
        })
        .unwrap_or_default()
}
