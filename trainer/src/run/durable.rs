//! Directories that are there whole or not at all, and their hash.

use super::failure::RunError;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What a directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Bytes of all its files.
    pub size_bytes: i64,
    /// Lower-case hex SHA-256 of what `sha256sum *` prints in it.
    pub sha256: String,
}

/// Makes the directory `path` from what `fill` writes (and syncs) into an empty directory beside it; replaces what was there.
///
/// # Errors
/// What `fill` says, or a [`RunError`] of the file that could not be written. Nothing is left beside.
pub fn write_directory(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), RunError>,
) -> Result<Contents, RunError> {
    let beside = beside(path);
    remove_leftovers_of(path);
    let made = make(path, &beside, fill);
    if made.is_err() {
        let _ = fs::remove_dir_all(&beside);
    }
    made
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn make(
    path: &Path,
    beside: &Path,
    fill: impl FnOnce(&Path) -> Result<(), RunError>,
) -> Result<Contents, RunError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let step = |at: &Path, done: io::Result<()>| done.map_err(|e| RunError::of_file(at, &e));
    if !parent.exists() {
        step(parent, fs::create_dir_all(parent))?;
        // A directory that is durable in one that is not is lost with it.
        if let Some(above) = parent.parent() {
            step(above, sync_directory(above))?;
        }
    }
    step(beside, fs::create_dir(beside))?;
    fill(beside)?;
    step(beside, sync_directory(beside))?;
    let contents = contents(beside)?;
    if path.exists() {
        step(path, fs::remove_dir_all(path))?;
    }
    step(path, fs::rename(beside, path))?;
    step(parent, sync_directory(parent))?;
    Ok(contents)
}

/// Size and hash of a directory's files, those in directories of it included, under their path below it.
///
/// # Errors
/// [`RunError`] of the file that could not be read.
pub fn contents(directory: &Path) -> Result<Contents, RunError> {
    let mut paths = Vec::new();
    list(directory, &mut paths).map_err(|error| RunError::of_file(directory, &error))?;
    paths.sort();
    let mut all = Sha256::new();
    let mut size_bytes = 0;
    for path in paths {
        let (size, hash) = hash_file(&path).map_err(|error| RunError::of_file(&path, &error))?;
        let name = path.strip_prefix(directory).unwrap_or(&path);
        all.update(format!("{hash}  {}\n", name.to_string_lossy()));
        size_bytes += size;
    }
    Ok(Contents {
        size_bytes,
        sha256: format!("{:x}", all.finalize()),
    })
}

/// Checks a directory against the hash that was announced of it.
///
/// # Errors
/// [`RunError::FileAltered`], or a [`RunError`] of the file that could not be read.
pub fn expect(directory: &Path, announced: &str) -> Result<(), RunError> {
    let found = contents(directory)?.sha256;
    if found == announced {
        return Ok(());
    }
    Err(RunError::FileAltered {
        path: directory.to_owned(),
        found,
        announced: announced.to_owned(),
    })
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

/// Size and hash of a file.
pub(crate) fn hash_file(path: &Path) -> io::Result<(i64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, format!("{:x}", hash.finalize())));
        }
        hash.update(&buffer[..read]);
        size += read as i64;
    }
}

/// Makes durable which files a directory has.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes what trainers that died left unfinished in a directory of their own.
pub fn remove_leftovers(directory: &Path) {
    remove_partial(directory, "");
}

fn remove_leftovers_of(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if let Some(parent) = path.parent() {
        remove_partial(parent, &format!("{name}."));
    }
}

fn remove_partial(directory: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(".partial") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
