//! Files that a command names: where they really are, whether the daemon can read them, how big they are.

mod gguf;
mod model_format;

pub(super) use model_format::ModelFormat;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What is looked at of a directory, so that a path like `/` ends in an answer.
const MOST_ENTRIES: usize = 100_000;
/// The width of the tables' columns.
const MOST_CHARACTERS: usize = 1_000;

/// A path that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The daemon has another working directory than the client.
    #[error("path: {0:?} is not absolute; give the whole path, as the daemon's machine knows it")]
    NotAbsolute(String),
    /// NUL, or text that is too long.
    #[error("path: it must be 1 to {MOST_CHARACTERS} characters, none of them a control character")]
    NotAPath,
    /// Nothing there.
    #[error("path: {0} is not there; check it on the daemon's machine")]
    Missing(String),
    /// There, but closed to the daemon.
    #[error("path: {path} cannot be read by the daemon (user id {uid}); let that user read it")]
    Unreadable {
        /// Which.
        path: String,
        /// Who the daemon is.
        uid: u32,
    },
    /// Neither a file nor a directory.
    #[error("path: {0} is neither a file nor a directory")]
    Special(String),
    /// A directory without files, or an empty file.
    #[error("path: {0} holds nothing")]
    Empty(String),
    /// A directory with more than anyone meant.
    #[error(
        "path: {0} holds more than {MOST_ENTRIES} files; name the directory that holds just what is meant"
    )]
    TooMany(String),
    /// Not a model.
    #[error("path: {path} is not a model that can be read: {problem}")]
    NotAModel {
        /// Which.
        path: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// Not an autoencoder.
    #[error(
        "path: {path} is not an autoencoder that can be read: {problem}; it must be a directory as SAELens 6 writes it"
    )]
    NotAnAutoencoder {
        /// Which.
        path: String,
        /// What is missing or wrong.
        problem: String,
    },
    /// The operating system says no.
    #[error("path: {path} could not be looked at: {source}")]
    Io {
        /// Which.
        path: String,
        /// What it says.
        source: io::Error,
    },
}

impl SourceError {
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::NotAbsolute(_) => "path_not_absolute",
            Self::NotAPath => "path_invalid",
            Self::Missing(_) => "path_not_found",
            Self::Unreadable { .. } => "path_not_readable",
            Self::Special(_) => "path_not_a_file",
            Self::Empty(_) => "path_empty",
            Self::TooMany(_) => "path_too_large",
            Self::NotAModel { .. } => "not_a_model",
            Self::NotAnAutoencoder { .. } => "not_an_autoencoder",
            Self::Io { .. } => "path_not_accessible",
        }
    }

    pub(in crate::commands) fn io(path: &Path, source: io::Error) -> Self {
        let path = path.display().to_string();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing(path),
            io::ErrorKind::PermissionDenied => Self::Unreadable {
                path,
                uid: rustix::process::geteuid().as_raw(),
            },
            _ => Self::Io { path, source },
        }
    }
}

/// What a command names.
#[derive(Debug)]
pub(super) struct Files {
    /// Canonical: absolute, without links and `..`.
    pub(super) path: String,
    /// Of all files.
    pub(super) size_bytes: i64,
}

impl Files {
    /// What people will call it unless they say otherwise.
    pub(super) fn default_name(&self) -> String {
        let path = Path::new(&self.path);
        let name = if path.is_dir() {
            path.file_name()
        } else {
            path.file_stem()
        };
        name.map_or_else(
            || self.path.clone(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}

/// Looks at a path. Blocks.
pub(super) fn examine(given: &str) -> Result<Files, SourceError> {
    if given.is_empty()
        || given.chars().count() > MOST_CHARACTERS
        || given.chars().any(char::is_control)
    {
        return Err(SourceError::NotAPath);
    }
    if !Path::new(given).is_absolute() {
        return Err(SourceError::NotAbsolute(given.to_owned()));
    }
    let path = fs::canonicalize(given).map_err(|e| SourceError::io(Path::new(given), e))?;
    let size = size(&path)?;
    let text = path.to_str().ok_or(SourceError::NotAPath)?;
    if size == 0 {
        return Err(SourceError::Empty(text.to_owned()));
    }
    Ok(Files {
        path: text.to_owned(),
        size_bytes: i64::try_from(size).unwrap_or(i64::MAX),
    })
}

fn size(path: &Path) -> Result<u64, SourceError> {
    let metadata = fs::metadata(path).map_err(|e| SourceError::io(path, e))?;
    if metadata.is_file() {
        fs::File::open(path).map_err(|e| SourceError::io(path, e))?;
        return Ok(metadata.len());
    }
    if !metadata.is_dir() {
        return Err(SourceError::Special(path.display().to_string()));
    }
    let mut total = 0_u64;
    let mut seen = 0_usize;
    let mut open: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(|e| SourceError::io(&directory, e))? {
            let entry = entry.map_err(|e| SourceError::io(&directory, e))?;
            seen += 1;
            if seen > MOST_ENTRIES {
                return Err(SourceError::TooMany(path.display().to_string()));
            }
            // Links are followed to files only, so that a link upwards cannot go round for ever.
            let kind = entry
                .file_type()
                .map_err(|e| SourceError::io(&entry.path(), e))?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if let Ok(metadata) = fs::metadata(entry.path())
                && metadata.is_file()
            {
                total = total.saturating_add(metadata.len());
            }
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_as_big_as_its_files_and_links_do_not_lead_round_in_circles() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("inner")).unwrap();
        fs::write(directory.path().join("a.txt"), "12345").unwrap();
        fs::write(directory.path().join("inner/b.txt"), "678").unwrap();
        std::os::unix::fs::symlink(directory.path(), directory.path().join("inner/up")).unwrap();
        let files = examine(directory.path().to_str().unwrap()).unwrap();
        assert_eq!(files.size_bytes, 8);
    }

    #[test]
    fn a_path_is_kept_as_the_machine_knows_it() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("x")).unwrap();
        fs::write(directory.path().join("a.txt"), "12345").unwrap();
        let winding = directory.path().join("x/../a.txt");
        let files = examine(winding.to_str().unwrap()).unwrap();
        assert!(!files.path.contains(".."), "{}", files.path);
        assert_eq!(files.default_name(), "a");
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty");
        fs::write(&empty, "").unwrap();
        let long = format!("/{}", "x".repeat(MOST_CHARACTERS));
        for (given, code) in [
            ("books", "path_not_absolute"),
            ("../../etc/passwd", "path_not_absolute"),
            ("", "path_invalid"),
            ("/a\0b", "path_invalid"),
            (long.as_str(), "path_invalid"),
            ("/nowhere/at/all", "path_not_found"),
            ("/etc/passwd/below", "path_not_found"),
            ("/dev/null", "path_not_a_file"),
            (empty.to_str().unwrap(), "path_empty"),
        ] {
            assert_eq!(examine(given).unwrap_err().code(), code, "{given:?}");
        }
    }
}
