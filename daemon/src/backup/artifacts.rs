//! The files of runs, datasets and models: listed by hash in every backup, and kept in it where that is asked for.
//!
//! What is kept lies in `files/` by its hash. A file that a former backup has is linked from there, and one that is never written to again
//! from its place, where the file system can; what may still grow is copied. So what does not change is on the disk once.

use super::{
    BackupError, Progress, Store,
    manifest::{Artifacts, Manifest, hash_file},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The list, a JSON document a line.
pub(super) const LIST: &str = "artifacts.jsonl";

/// Folders of the state directory whose files no log can bring back.
const FOLDERS: [&str; 3] = ["runs", "datasets", "models"];

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Artifact {
    /// Below the state directory.
    pub path: String,
    pub size_bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
    /// Its modification time; with the size it says whether it must be read again.
    pub modified_ns: i64,
}

/// Where a kept file is, below the backup.
pub(super) fn kept(sha256: &str) -> PathBuf {
    let (folder, _) = sha256.split_at_checked(2).unwrap_or((sha256, ""));
    Path::new("files").join(folder).join(sha256)
}

/// The entries of a backup's list.
pub(super) fn list(
    directory: &Path,
) -> Result<impl Iterator<Item = Result<Artifact, BackupError>>, BackupError> {
    let path = directory.join(LIST);
    let file = File::open(&path).map_err(BackupError::io("open", &path))?;
    Ok(BufReader::new(file).lines().map(move |line| {
        line.and_then(|line| Ok(serde_json::from_str(&line)?))
            .map_err(BackupError::io("read", &path))
    }))
}

/// Lists the files of the state directory into the backup that is being made at `backup`, and keeps them if `include`. Memory: some 300 bytes for
/// each file of the newest former backup.
pub(super) fn collect(
    state: &Path,
    backup: &Path,
    store: &Store,
    include: bool,
    progress: &Progress,
) -> Result<Artifacts, BackupError> {
    let former: Option<Manifest> = store.manifests()?.pop();
    let mut known = HashMap::new();
    let former = match &former {
        Some(manifest) => {
            let path = store.path(&manifest.id);
            if path.join(LIST).exists() {
                for artifact in list(&path)? {
                    let Artifact {
                        path,
                        size_bytes,
                        sha256,
                        modified_ns,
                    } = artifact?;
                    known.insert(path, (size_bytes, modified_ns, sha256));
                }
            }
            Some(path)
        }
        None => None,
    };
    let path = backup.join(LIST);
    let failed = || BackupError::io("write", &path);
    let file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed())?;
    let mut out = BufWriter::new(file);
    let mut collected = Artifacts {
        included: include,
        ..Artifacts::default()
    };
    let mut told = Instant::now();
    let mut pending: Vec<PathBuf> = FOLDERS.iter().map(|folder| state.join(folder)).collect();
    while let Some(directory) = pending.pop() {
        // What goes while it is looked at was not needed any more.
        let mut entries: Vec<fs::DirEntry> = fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let full = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if passing(&full) {
                continue;
            }
            if kind.is_dir() {
                pending.push(full);
                continue;
            }
            if !kind.is_file() {
                continue;
            }
            let Some(name) = full.strip_prefix(state).ok().and_then(Path::to_str) else {
                continue;
            };
            let artifact = match one(&full, name, backup, former.as_deref(), &known, include) {
                Err(BackupError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    continue;
                }
                artifact => artifact?,
            };
            collected.files += 1;
            collected.bytes += artifact.size_bytes;
            serde_json::to_writer(&mut out, &artifact)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"))
                .map_err(failed())?;
            if told.elapsed() > Duration::from_millis(500) {
                told = Instant::now();
                progress.at("files of runs", Some(collected.bytes), None);
            }
        }
    }
    out.into_inner()
        .map_err(io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .map_err(failed())?;
    Ok(collected)
}

/// What is of no use later, or not a file yet.
fn passing(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.')
        || ["heartbeat", "control"].contains(&&*name)
        || [".partial", ".part", ".incomplete"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether a file is written to after it has got its name.
fn grows(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name == "journal.jsonl" || path.extension().is_some_and(|end| end == "log")
}

fn one(
    full: &Path,
    name: &str,
    backup: &Path,
    former: Option<&Path>,
    known: &HashMap<String, (u64, i64, String)>,
    include: bool,
) -> Result<Artifact, BackupError> {
    let metadata = fs::metadata(full).map_err(BackupError::io("look at", full))?;
    let modified_ns = metadata
        .mtime()
        .saturating_mul(1_000_000_000)
        .saturating_add(metadata.mtime_nsec());
    let noted = known
        .get(name)
        .filter(|(size, modified, _)| (*size, *modified) == (metadata.len(), modified_ns));
    let artifact = |size_bytes, sha256| Artifact {
        path: name.to_owned(),
        size_bytes,
        sha256,
        modified_ns,
    };
    if grows(full) && include {
        // What is hashed is the copy: the original may be longer by now.
        let copy = backup.join(".growing");
        copy_private(full, &copy)?;
        let (size, sha256) = hash_file(&copy).map_err(BackupError::io("read", &copy))?;
        let to = place(backup, &sha256)?;
        fs::rename(&copy, &to).map_err(BackupError::io("move", &copy))?;
        return Ok(artifact(size, sha256));
    }
    let (size, sha256) = match noted {
        Some((size, _, sha256)) => (*size, sha256.clone()),
        None => hash_file(full).map_err(BackupError::io("read", full))?,
    };
    if include {
        let to = place(backup, &sha256)?;
        let from_former = former.map(|former| former.join(kept(&sha256)));
        let linked = to.exists()
            || from_former.is_some_and(|from| fs::hard_link(from, &to).is_ok())
            || fs::hard_link(full, &to).is_ok();
        if !linked {
            copy_private(full, &to)?;
        }
    }
    Ok(artifact(size, sha256))
}

fn place(backup: &Path, sha256: &str) -> Result<PathBuf, BackupError> {
    place_for(backup, kept(sha256))
}

/// Where a file of a backup goes, with the directories above it, which are this user's alone.
pub(super) fn place_for(backup: &Path, path: impl AsRef<Path>) -> Result<PathBuf, BackupError> {
    let to = backup.join(path);
    let folder = to.parent().unwrap_or(backup);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(BackupError::io("make the directory", folder))?;
    Ok(to)
}

/// Copies a file for this user alone, and waits for the disk. The file system may share the content.
pub(super) fn copy_private(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::copy(from, to)
        .and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(0o600)))
        .and_then(|()| File::open(to)?.sync_all())
        .map_err(BackupError::io("copy", from))
}

/// What became of the files at a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Returned {
    /// Put back from the backup.
    pub returned: u64,
    /// Listed in the backup, neither in it nor in the state directory.
    pub missing: u64,
}

/// Puts back what is missing of a backup's files. What is there stays as it is.
pub(super) fn put_back(
    backup: &Path,
    manifest: &Manifest,
    state: &Path,
    progress: &Progress,
) -> Result<Returned, BackupError> {
    let mut done = Returned::default();
    progress.begin("files of runs");
    for artifact in list(backup)? {
        let artifact = artifact?;
        let to = state.join(&artifact.path);
        if to.exists() {
            continue;
        }
        if !manifest.artifacts.included {
            done.missing += 1;
            continue;
        }
        let folder = to.parent().unwrap_or(state);
        fs::create_dir_all(folder).map_err(BackupError::io("make the directory", folder))?;
        let beside = to.with_extension("restored.partial");
        copy_private(&backup.join(kept(&artifact.sha256)), &beside)?;
        fs::rename(&beside, &to).map_err(BackupError::io("move", &beside))?;
        done.returned += 1;
    }
    Ok(done)
}
