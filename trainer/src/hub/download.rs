//! One file: written beside, continued after whatever interrupted it, checked, renamed.

use super::{
    Hub, HubError,
    listing::{RemoteFile, is_hex},
};
use crate::tokenizer::hex;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use ureq::http::HeaderMap;

/// What is left free beyond what is fetched.
const RESERVE_BYTES: u64 = 64 << 20;
const CHUNK_BYTES: usize = 256 << 10;
/// How often in a row a connection may end without having brought anything.
const MOST_EMPTY: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The hash that a file must have.
enum Expected {
    Sha256(String),
    /// SHA-1 of `blob <size>\0` and the content.
    Git(String),
}

/// Bytes of a file that are here already.
pub(super) fn fetched_bytes(to: &Path, file: &RemoteFile) -> u64 {
    let length = |path: PathBuf| fs::metadata(path).map(|m| m.len()).ok();
    length(to.join(&file.path))
        .or_else(|| length(beside(to, file)))
        .map_or(0, |bytes| bytes.min(file.size))
}

/// Fails where `needed` bytes do not fit.
pub(super) fn ensure_room(to: &Path, needed: u64) -> Result<(), HubError> {
    let found = rustix::fs::statvfs(to).map_err(|error| HubError::Write {
        path: to.to_owned(),
        source: error.into(),
    })?;
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    let needed_bytes = needed.saturating_add(RESERVE_BYTES);
    if needed > 0 && free_bytes < needed_bytes {
        return Err(HubError::NoRoom {
            path: to.to_owned(),
            free_bytes,
            needed_bytes,
        });
    }
    Ok(())
}

/// Fetches `file` from `url` into the directory `to`. `watch` is told how many of its bytes are here.
pub(super) fn download(
    hub: &Hub,
    url: &str,
    file: &RemoteFile,
    to: &Path,
    watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), HubError> {
    let path = to.join(&file.path);
    let partial = beside(to, file);
    let write = |source| HubError::Write {
        path: path.clone(),
        source,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(write)?;
    }
    let mut expected = expected(file, &HeaderMap::new());
    if fs::metadata(&path).is_ok_and(|found| found.len() == file.size)
        && let Some(expected) = &expected
        && check(expected, file, &path)?.is_none()
    {
        return Ok(());
    }
    let mut out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&partial)
        .map_err(write)?;
    let mut have = out.metadata().map_err(write)?.len();
    let mut empty = 0;
    while have != file.size || expected.is_none() {
        if have >= file.size {
            out.set_len(0).map_err(write)?;
            have = 0;
        }
        let before = have;
        let ended = more(hub, url, file, &mut out, &mut have, &mut expected, watch);
        match ended {
            Ok(()) if have == file.size => break,
            Ok(()) | Err(HubError::Connection { .. }) => {}
            Err(HubError::Status { status, .. }) if status == 429 || status >= 500 => {}
            Err(error) => return Err(error),
        }
        empty = if have > before { 0 } else { empty + 1 };
        if empty > MOST_EMPTY {
            return Err(ended.err().unwrap_or_else(|| HubError::Connection {
                what: file.path.clone(),
                detail: format!("the connection ended after {have} of {} bytes", file.size),
            }));
        }
        if empty > 0 {
            thread::sleep(FIRST_PAUSE * (1 << (empty - 1)));
        }
    }
    out.sync_all().map_err(write)?;
    let Some(expected) = expected else {
        return Err(HubError::Unverifiable {
            file: file.path.clone(),
        });
    };
    if let Some(altered) = check(&expected, file, &partial)? {
        fs::remove_file(&partial).map_err(write)?;
        return Err(altered);
    }
    fs::rename(&partial, &path).map_err(write)?;
    if let Some(parent) = path.parent() {
        File::open(parent)
            .and_then(|d| d.sync_all())
            .map_err(write)?;
    }
    Ok(())
}

/// Appends what one request brings.
fn more(
    hub: &Hub,
    url: &str,
    file: &RemoteFile,
    out: &mut File,
    have: &mut u64,
    known: &mut Option<Expected>,
    watch: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), HubError> {
    let write = |source| HubError::Write {
        path: PathBuf::from(&file.path),
        source,
    };
    let answer = hub.get(url, (*have > 0).then_some(*have), &file.path)?;
    if answer.status.as_u16() == 416 {
        // What is here is not a beginning of what is there.
        out.set_len(0).map_err(write)?;
        *have = 0;
        return Ok(());
    }
    hub.expect_success(&answer, &file.path)?;
    if known.is_none() {
        *known = expected(file, &answer.told);
        if known.is_none() {
            return Err(HubError::Unverifiable {
                file: file.path.clone(),
            });
        }
    }
    let continues = answer.status.as_u16() == 206
        && answer
            .response
            .headers()
            .get("content-range")
            .and_then(|range| range.to_str().ok())
            .is_some_and(|range| range.starts_with(&format!("bytes {have}-")));
    if *have > 0 && !continues {
        out.set_len(0).map_err(write)?;
        *have = 0;
    }
    let mut reader = answer.response.into_body().into_reader();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(HubError::Connection {
                    what: file.path.clone(),
                    detail: error.to_string(),
                });
            }
        };
        if *have + read as u64 > file.size {
            out.set_len(0).map_err(write)?;
            *have = 0;
            return Err(HubError::Answer {
                what: file.path.clone(),
                detail: format!(
                    "more comes than the {} bytes that it should have",
                    file.size
                ),
            });
        }
        out.write_all(&buffer[..read]).map_err(write)?;
        *have += read as u64;
        if watch(*have).is_break() {
            return Err(HubError::Cancelled);
        }
    }
}

/// What the list of files says counts; else what the endpoint says as it sends.
fn expected(file: &RemoteFile, told: &HeaderMap) -> Option<Expected> {
    if let Some(hash) = &file.sha256 {
        return Some(Expected::Sha256(hash.clone()));
    }
    if let Some(hash) = &file.git_sha1 {
        return Some(Expected::Git(hash.clone()));
    }
    ["x-linked-etag", "etag"].into_iter().find_map(|name| {
        let tag = told.get(name)?.to_str().ok()?;
        let tag = tag
            .trim_start_matches("W/")
            .trim_matches('"')
            .to_lowercase();
        if is_hex(&tag, 64) {
            Some(Expected::Sha256(tag))
        } else {
            is_hex(&tag, 40).then_some(Expected::Git(tag))
        }
    })
}

/// None when the file at `path` has the hash that it must have.
fn check(
    expected: &Expected,
    file: &RemoteFile,
    path: &Path,
) -> Result<Option<HubError>, HubError> {
    let read = |source| HubError::Write {
        path: path.to_owned(),
        source,
    };
    let (hash, wanted, found) = match expected {
        Expected::Sha256(wanted) => {
            let found = hash_of(Sha256::new(), path).map_err(read)?;
            ("SHA-256", wanted, found)
        }
        Expected::Git(wanted) => {
            let mut hasher = Sha1::new();
            hasher.update(format!("blob {}\0", file.size));
            ("git hash", wanted, hash_of(hasher, path).map_err(read)?)
        }
    };
    Ok((found != *wanted).then(|| HubError::Altered {
        file: file.path.clone(),
        hash,
        found,
        expected: wanted.clone(),
    }))
}

fn hash_of<D: Digest>(mut hasher: D, path: &Path) -> io::Result<String> {
    let mut reader = File::open(path)?;
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Where a file is written. Its hash is in the name: what a branch held before it moved is not continued.
fn beside(to: &Path, file: &RemoteFile) -> PathBuf {
    let path = to.join(&file.path);
    let hash = file.sha256.as_ref().or(file.git_sha1.as_ref());
    let hash: String = hash.map_or_else(String::new, |hash| hash.chars().take(12).collect());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{hash}.partial"))
}
