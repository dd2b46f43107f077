//! The files that events name with a hash: are they there, and as they were?
//!
//! While rows are looked at, what names a file, and what says that one is gone, is put aside by the stream that the file belongs to: an
//! extraction's files go with their training. Afterwards each stream's files are hashed. In memory: the files of one stream and 1 MB of one.

mod hash;
mod named;

use super::{Row, VerifyError, Verifying, aside::Aside};
use crate::log::{Log, LogError};
use hash::Unusable;
pub(in crate::log::verify) use named::Named;
use named::{Kind, What};
use std::path::Path;

/// So many faulty files are told of by name.
const TOLD: usize = 100;

/// What became of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Artifacts {
    /// Files and directories that are as they were.
    pub intact: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Those that are not.
    pub faulty: u64,
    /// The first hundred of them.
    pub faults: Vec<ArtifactFault>,
}

/// A file that is not as the event says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ArtifactFault {
    /// The kind of the event's stream.
    pub category: String,
    /// The event's stream.
    pub stream_id: String,
    /// Its version.
    pub version: i64,
    /// Its sequence number.
    pub sequence: i64,
    /// The file, or the directory.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Puts aside what a row says of a file.
pub(super) fn note(row: &Row<'_>, aside: &mut Aside) -> Result<(), VerifyError> {
    match named::of(row)? {
        Some(named) => aside.push(&named.to_bytes()).map_err(VerifyError::Aside),
        None => Ok(()),
    }
}

/// Hashes the files that there should be. Of a dataset's text, only what is below `datasets` is trainmaster's own.
pub(super) fn check(
    aside: Aside,
    datasets: &Path,
    verifying: &Verifying,
) -> Result<Found, VerifyError> {
    let total = aside.len();
    let mut group = Group::default();
    let mut found = Found::default();
    for (n, record) in (0..).zip(aside.sorted().map_err(VerifyError::Aside)?) {
        let record = record.map_err(VerifyError::Aside)?;
        let named = Named::from_bytes(&record).ok_or(VerifyError::Form(
            "what was put aside of a file is something else",
        ))?;
        if group.owner != named.owner {
            verifying.files(n, total);
            std::mem::take(&mut group).hash(&mut found);
            group.owner.clone_from(&named.owner);
        }
        group.take(named, datasets);
    }
    group.hash(&mut found);
    verifying.files(total, total);
    Ok(found)
}

/// What became of files, and with each fault what was named: perhaps it has been pruned meanwhile.
#[derive(Default)]
pub(super) struct Found {
    artifacts: Artifacts,
    doubtful: Vec<Named>,
}

/// The files of a stream.
#[derive(Default)]
struct Group {
    owner: (String, String),
    files: Vec<Named>,
    /// Where its text is.
    source: Option<String>,
    is_deleted: bool,
}

impl Group {
    fn take(&mut self, mut named: Named, datasets: &Path) {
        match named.what {
            What::Deleted => self.is_deleted = true,
            What::Pruned => self.files.retain(|file| file.path != named.path),
            What::Source => self.source = Some(named.path),
            What::Ingested { sha256 } => {
                let own = datasets.join(&named.stream_id);
                let kept = |path: &&String| {
                    Path::new(path).starts_with(&own) && Path::new(path).ends_with("raw/text.txt")
                };
                if let Some(path) = self.source.as_ref().filter(kept) {
                    named.path.clone_from(path);
                    named.what = What::Made {
                        kind: Kind::Text,
                        sha256,
                    };
                    self.files.push(named);
                }
            }
            // The same file may be named again.
            What::Made { .. } => {
                let known = |file: &Named| file.path == named.path && file.what == named.what;
                if !self.files.iter().any(known) {
                    self.files.push(named);
                }
            }
        }
    }

    fn hash(self, found: &mut Found) {
        if self.is_deleted {
            return;
        }
        for file in self.files {
            let What::Made { kind, sha256 } = &file.what else {
                continue;
            };
            match hash::check(*kind, Path::new(&file.path), sha256) {
                Ok(bytes) => {
                    found.artifacts.intact += 1;
                    found.artifacts.bytes += bytes;
                }
                Err(reason) => {
                    found.artifacts.faulty += 1;
                    if found.artifacts.faults.len() < TOLD {
                        found.artifacts.faults.push(fault(&file, &reason));
                        found.doubtful.push(file);
                    }
                }
            }
        }
    }
}

fn fault(file: &Named, reason: &Unusable) -> ArtifactFault {
    ArtifactFault {
        category: file.category.clone(),
        stream_id: file.stream_id.clone(),
        version: file.version,
        sequence: file.position.1,
        path: file.path.clone(),
        reason: reason.to_string(),
    }
}

impl Log {
    /// Takes out what has been pruned or deleted since the log was looked at.
    pub(super) async fn without_pruned(
        &self,
        Found {
            mut artifacts,
            doubtful,
        }: Found,
    ) -> Result<Artifacts, VerifyError> {
        let faults = std::mem::take(&mut artifacts.faults);
        for (fault, named) in faults.into_iter().zip(doubtful) {
            let is_gone: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM log.events
                                 WHERE type IN ('DatasetDeleted', 'ModelDeleted', 'TrainingDeleted') AND category = $1 AND stream_id = $2)
                     OR EXISTS (SELECT FROM log.events
                                 WHERE type = 'CheckpointPruned' AND stream_id = $2 AND category = $1 AND payload ->> 'storage_path' = $3)",
            )
            .bind(&named.owner.0)
            .bind(&named.owner.1)
            .bind(&named.path)
            .fetch_one(&self.pool)
            .await
            .map_err(LogError::database("verify artifacts"))?;
            if is_gone {
                artifacts.faulty -= 1;
            } else {
                artifacts.faults.push(fault);
            }
        }
        Ok(artifacts)
    }
}
