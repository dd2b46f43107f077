//! Files that nothing needs any more: those of deleted trainings and their extractions, of deleted models and datasets, and pruned
//! checkpoints.
//!
//! The event comes first, the files go after it. What is found on the disk is compared with the log, at the start and after each such
//! event, so whatever a crash left goes the next time. Only what trainmaster made for a stream is touched: the folders of its id in the
//! state directory, never the files that a model or dataset was registered from.

use crate::log::Log;
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Folders of the state directory that hold a folder a stream, and whose streams they are; none: of any.
const FOLDERS: [(&str, Option<&str>); 3] = [
    ("runs", None),
    ("datasets", Some("dataset")),
    ("models", Some("model")),
];
/// So many ids or paths are asked about at once.
const PAGE: usize = 1_000;
/// What could not go yet is tried again after this time.
const AGAIN: Duration = Duration::from_secs(10);

/// Removes what nothing needs any more.
#[derive(Clone, Debug)]
pub struct Leftovers {
    log: Log,
    state_directory: PathBuf,
    /// Where models are, each in a folder of its training's id, if not in the state directory.
    models: Option<PathBuf>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Directories that are gone.
    pub removed: usize,
    /// Directories that will have to go later: a run has not ended yet, or the disk refuses.
    pub left: usize,
}

/// Why nothing could be cleaned.
#[derive(Debug, thiserror::Error)]
pub enum LeftoversError {
    /// The log cannot be asked.
    #[error("cannot ask the log what has been deleted")]
    Log(#[from] sqlx::Error),
    /// The state directory cannot be listed.
    #[error("cannot list {path}")]
    List {
        /// Which part of it.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Leftovers {
    /// Of what is in `log`, below a state directory.
    #[must_use]
    pub const fn new(log: Log, state_directory: PathBuf) -> Self {
        Self {
            log,
            state_directory,
            models: None,
        }
    }

    /// Models of trainings are in folders of their ids in this directory, too.
    #[must_use]
    pub fn and_models_in(mut self, directory: Option<PathBuf>) -> Self {
        self.models = directory;
        self
    }

    /// Cleans at once, after each deletion, and again when something could not go, until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut news = self.log.left();
        loop {
            news.mark_unchanged();
            let is_clean = match self.clean().await {
                Ok(cleaned) => {
                    if cleaned.removed > 0 {
                        info!(
                            directories = cleaned.removed,
                            "files of what is gone are gone"
                        );
                    }
                    cleaned.left == 0
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "files that nothing needs any more stay for now");
                    false
                }
            };
            let again = async {
                if is_clean {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(AGAIN).await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = news.changed() => {}
                () = again => {}
            }
        }
    }

    /// Removes what is there and not needed. Doing so again changes nothing.
    ///
    /// # Errors
    /// [`LeftoversError`].
    pub async fn clean(&self) -> Result<Cleaned, LeftoversError> {
        let mut cleaned = Cleaned::default();
        for (folder, category) in FOLDERS {
            let folder = self.state_directory.join(folder);
            for names in list(&folder).await?.chunks(PAGE) {
                let deleted = self.deleted(names, category).await?;
                for (id, is_over) in deleted {
                    self.remove(folder.join(id), is_over, &mut cleaned).await;
                }
                if category.is_none() {
                    for (id, is_over) in self.jobs_of_deleted(names).await? {
                        self.remove(folder.join(id), is_over, &mut cleaned).await;
                    }
                }
            }
        }
        if let Some(models) = &self.models {
            for names in list(models).await?.chunks(PAGE) {
                for (id, is_over) in self.deleted(names, Some("training")).await? {
                    self.remove(models.join(id), is_over, &mut cleaned).await;
                }
            }
        }
        let predictions = self.state_directory.join("predictions");
        for names in list(&predictions).await?.chunks(PAGE) {
            let mut unneeded = self.jobs_of_deleted(names).await?;
            unneeded.extend(self.cancelled(names).await?);
            unneeded.sort_unstable();
            unneeded.dedup();
            for (id, is_over) in unneeded {
                self.remove(predictions.join(id), is_over, &mut cleaned)
                    .await;
            }
        }
        let submissions = self.state_directory.join("slurm");
        for names in list(&submissions).await?.chunks(PAGE) {
            for id in self.submissions(names).await? {
                self.remove(submissions.join(id), true, &mut cleaned).await;
            }
        }
        let runs = self.state_directory.join("runs");
        for name in list(&runs).await? {
            let checkpoints = runs.join(&name).join("checkpoints");
            for kept in list(&checkpoints).await?.chunks(PAGE) {
                for path in self.pruned(&name, &checkpoints, kept).await? {
                    self.remove(path, true, &mut cleaned).await;
                }
            }
        }
        Ok(cleaned)
    }

    /// Those of the ids that have been deleted, and whether their last run is over.
    async fn deleted(
        &self,
        ids: &[String],
        category: Option<&str>,
    ) -> Result<Vec<(String, bool)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT e.stream_id,
                    NOT EXISTS (SELECT FROM dispatch.runs r
                                 WHERE r.category = e.category AND r.id = e.stream_id AND r.ended_at IS NULL)
               FROM log.events e
              WHERE e.type IN ('DatasetDeleted', 'ModelDeleted', 'TrainingDeleted')
                AND e.stream_id = ANY ($1)
                AND ($2::text IS NULL OR e.category = $2)",
        )
        .bind(ids)
        .bind(category)
        .fetch_all(self.log.pool())
        .await
    }

    /// Those of the submissions whose SLURM jobs have all ended, and whose runs are gone: trainings that have been deleted, and jobs that are
    /// done or were cancelled, or whose training has been deleted.
    async fn submissions(&self, ids: &[String]) -> Result<Vec<String>, sqlx::Error> {
        sqlx::query_scalar(include_str!("leftovers/submissions.sql"))
            .bind(ids)
            .fetch_all(self.log.pool())
            .await
    }

    /// Those of the ids that are jobs that were cancelled, and whether their last run is over.
    async fn cancelled(&self, ids: &[String]) -> Result<Vec<(String, bool)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT e.stream_id,
                    NOT EXISTS (SELECT FROM dispatch.runs r
                                 WHERE r.category = 'job' AND r.id = e.stream_id AND r.ended_at IS NULL)
               FROM log.events e
              WHERE e.category = 'job' AND e.type = 'JobCancelled' AND e.stream_id = ANY ($1)",
        )
        .bind(ids)
        .fetch_all(self.log.pool())
        .await
    }

    /// Those of the ids that are jobs of a deleted training, and whether their last run is over.
    async fn jobs_of_deleted(&self, ids: &[String]) -> Result<Vec<(String, bool)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT e.stream_id,
                    NOT EXISTS (SELECT FROM dispatch.runs r
                                 WHERE r.category = e.category AND r.id = e.stream_id AND r.ended_at IS NULL)
               FROM log.events e
               JOIN log.events gone
                 ON gone.type = 'TrainingDeleted' AND gone.category = 'training'
                AND gone.stream_id = e.payload #>> '{work,training_id}'
              WHERE e.category = 'job' AND e.type = 'JobQueued' AND e.version = 1 AND e.stream_id = ANY ($1)",
        )
        .bind(ids)
        .fetch_all(self.log.pool())
        .await
    }

    /// Those of a training's checkpoint directories that have been pruned.
    async fn pruned(
        &self,
        training: &str,
        checkpoints: &Path,
        names: &[String],
    ) -> Result<Vec<PathBuf>, sqlx::Error> {
        let pruned: Vec<String> = sqlx::query_scalar(
            "SELECT payload ->> 'storage_path' FROM log.events
              WHERE type = 'CheckpointPruned' AND category = 'training' AND stream_id = $1",
        )
        .bind(training)
        .fetch_all(self.log.pool())
        .await?;
        // By its name: the state directory may have moved since.
        let pruned: HashSet<&str> = pruned
            .iter()
            .filter_map(|path| Path::new(path).file_name()?.to_str())
            .collect();
        Ok(names
            .iter()
            .filter(|name| pruned.contains(name.as_str()))
            .map(|name| checkpoints.join(name))
            .collect())
    }

    async fn remove(&self, path: PathBuf, is_over: bool, cleaned: &mut Cleaned) {
        if !is_over {
            cleaned.left += 1;
            return;
        }
        let target = path.clone();
        let removed = tokio::task::spawn_blocking(move || remove(&target)).await;
        match removed.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
            Ok(()) => cleaned.removed += 1,
            Err(error) => {
                warn!(path = %path.display(), %error, "cannot be removed yet");
                cleaned.left += 1;
            }
        }
    }
}

/// A link goes, and not what it leads to.
fn remove(path: &Path) -> io::Result<()> {
    let gone = if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match gone {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        gone => gone,
    }
}

/// The names in a directory; none when it is not there.
async fn list(path: &Path) -> Result<Vec<String>, LeftoversError> {
    let path = path.to_owned();
    let listed = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || -> io::Result<Vec<String>> {
            let entries = match fs::read_dir(&path) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) =>
                {
                    return Ok(vec![]);
                }
                entries => entries?,
            };
            let mut names = Vec::new();
            for entry in entries {
                // No id and no checkpoint is called otherwise.
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(name);
                }
            }
            names.sort_unstable();
            Ok(names)
        })
    };
    listed
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)))
        .map_err(|source| LeftoversError::List { path, source })
}
