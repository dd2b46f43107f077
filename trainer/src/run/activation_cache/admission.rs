//! Which entries there are, and who may stay.

use super::{Extent, entry::Entry};
use rustix::fs::{FlockOperation, flock, statvfs};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Held while entries are opened, made and removed.
const DIRECTORY_LOCK: &str = "lock";
const ENTRY_LOCK: &str = "lock";
/// What an entry is of, for whoever wonders.
const KEY: &str = "key.json";

/// Opens or makes the entry of a key; none where there is no room for it, or somebody else fills it at this moment.
pub(super) fn admit(
    directory: &Path,
    most_bytes: u64,
    key: &Value,
    extent: Extent,
) -> io::Result<Option<Entry>> {
    fs::create_dir_all(directory)?;
    let all = open_lock(&directory.join(DIRECTORY_LOCK))?;
    flock(&all, FlockOperation::LockExclusive)?;
    let key = format!("{key:#}\n{extent:?}\n");
    let own = directory.join(format!("{:x}", Sha256::digest(&key)));
    if !own.is_dir() {
        if !make_room(directory, most_bytes, extent.bytes())? {
            return Ok(None);
        }
        fs::create_dir(&own)?;
        fs::write(own.join(KEY), &key)?;
    }
    let lock = open_lock(&own.join(ENTRY_LOCK))?;
    lock.set_modified(SystemTime::now())?;
    Entry::open(&own, extent, lock)
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
}

/// Another entry.
struct Other {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Removes what nobody uses until so many bytes fit; whether they do. As much again must be free on the disk, which is not for this alone.
fn make_room(directory: &Path, most_bytes: u64, bytes: u64) -> io::Result<bool> {
    let mut others = others(directory)?;
    others.sort_by_key(|other| other.used);
    let mut taken: u64 = others.iter().map(|other| other.bytes).sum();
    let free = |removed: u64| -> io::Result<bool> {
        let disk = statvfs(directory)?;
        let available = disk.f_bavail.saturating_mul(disk.f_frsize) + removed;
        Ok(available / 2 >= bytes)
    };
    if bytes > most_bytes || !free(taken)? {
        return Ok(false);
    }
    for other in others {
        if taken.saturating_add(bytes) <= most_bytes && free(0)? {
            break;
        }
        if remove(&other.path)? {
            taken -= other.bytes;
        }
    }
    Ok(taken.saturating_add(bytes) <= most_bytes && free(0)?)
}

fn others(directory: &Path) -> io::Result<Vec<Other>> {
    let mut others = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if !path.is_dir() {
            continue;
        }
        let mut bytes = 0;
        for file in fs::read_dir(&path)? {
            bytes += file?.metadata()?.len();
        }
        let used = fs::metadata(path.join(ENTRY_LOCK))
            .and_then(|lock| lock.modified())
            .unwrap_or(SystemTime::UNIX_EPOCH);
        others.push(Other { path, bytes, used });
    }
    Ok(others)
}

/// Removes an entry unless somebody uses it.
fn remove(path: &Path) -> io::Result<bool> {
    let lock = open_lock(&path.join(ENTRY_LOCK))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Ok(false);
    }
    fs::remove_dir_all(path)?;
    Ok(true)
}
