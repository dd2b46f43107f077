//! Heads as files, one now and then, for others to take away.

use super::{Head, HeadKey, HeadKeyError};
use crate::log::{Log, LogError, VerifyError};
use chrono::SecondsFormat;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Where heads go, and how many stay.
#[derive(Clone, Debug)]
pub struct HeadExport {
    /// The directory; it is made.
    pub directory: PathBuf,
    /// The file of the key that signs.
    pub key: PathBuf,
    /// So often, as long as there is something new.
    pub interval: Duration,
    /// So many stay, the newest.
    pub keep: usize,
}

/// Why no head was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is no key.
    #[error(transparent)]
    Key(#[from] HeadKeyError),
    /// The log cannot be asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file cannot be written or read.
    #[error("cannot write the log's head to {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

const ENDING: &str = "head";

impl HeadExport {
    /// Writes the head of the log as it is now, unless the newest file says the same; and says, as an error of the log, when the log is
    /// not what the newest file says that it was. Returns the new file.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn export(&self, log: &Log) -> Result<Option<PathBuf>, ExportError> {
        let (path, directory) = (self.key.clone(), self.directory.clone());
        let (key, newest) = tokio::task::spawn_blocking(move || {
            let key = HeadKey::load_or_make(&path)?;
            let newest = newest(&directory, &key)?;
            Ok::<_, ExportError>((key, newest))
        })
        .await
        .unwrap_or_else(|panic| Err(self.failed(io::Error::other(panic))))?;
        if let Some(newest) = &newest {
            match log.still_notes(newest).await {
                Ok(()) => {}
                Err(VerifyError::Log(error)) => return Err(error.into()),
                Err(error) => {
                    error!(%error, exported_at = %newest.at, directory = %self.directory.display(), "the log is not what its last exported head says");
                }
            }
        }
        let head = log.sign_head(&key).await?;
        if newest.is_some_and(|newest| newest.digest == head.digest) {
            return Ok(None);
        }
        let export = self.clone();
        tokio::task::spawn_blocking(move || export.write(&head))
            .await
            .unwrap_or_else(|panic| Err(self.failed(io::Error::other(panic))))
            .map(Some)
    }

    /// Does so at once and at intervals, as long as there is something new. A failure is logged and made good by the next time.
    pub async fn keep_exporting(self, log: Log, shutdown: CancellationToken) {
        let mut appended = log.appended();
        loop {
            appended.mark_unchanged();
            if let Err(error) = self.export(&log).await {
                let error: &dyn std::error::Error = &error;
                warn!(error, "the log's head is not exported");
            }
            let something_new = async {
                tokio::time::sleep(self.interval).await;
                // The sender lives as long as `log`.
                let _ = appended.changed().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = something_new => {}
            }
        }
    }

    fn failed(&self, source: io::Error) -> ExportError {
        ExportError::Io {
            path: self.directory.clone(),
            source,
        }
    }

    fn write(&self, head: &Head) -> Result<PathBuf, ExportError> {
        let at = head.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let name: String = at.chars().filter(char::is_ascii_alphanumeric).collect();
        let path = self.directory.join(format!("{name}.{ENDING}"));
        write(&path, head).map_err(|source| ExportError::Io {
            path: path.clone(),
            source,
        })?;
        let mut names = list(&self.directory).map_err(|source| self.failed(source))?;
        names.truncate(names.len().saturating_sub(self.keep.max(1)));
        for old in names {
            fs::remove_file(&old).map_err(|source| self.failed(source))?;
        }
        Ok(path)
    }
}

/// Writes a head as a file: beside, synced and renamed.
fn write(path: &Path, head: &Head) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(directory)?;
    let beside = path.with_extension("partial");
    let mut file = File::create(&beside)?;
    writeln!(file, "{head}")?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(directory)?.sync_all()
}

/// The files of heads in a directory, the oldest first; none when it is not there.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// The newest head in a directory that this key signed. One that cannot be believed is passed over, with a warning.
fn newest(directory: &Path, key: &HeadKey) -> Result<Option<Head>, ExportError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::Io { path, source }
    };
    let paths = list(directory).map_err(failed(directory))?;
    for path in paths.iter().rev() {
        let text = fs::read_to_string(path).map_err(failed(path))?;
        let own = text.parse().and_then(|head: Head| {
            head.must_be_of(&key.public_key())?;
            Ok(head)
        });
        match own {
            Ok(head) => return Ok(Some(head)),
            Err(error) => {
                warn!(path = %path.display(), %error, "an exported head cannot be believed");
            }
        }
    }
    Ok(None)
}
