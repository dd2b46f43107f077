//! What a backup says of itself.

use super::BackupError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

const NAME: &str = "manifest.json";
const HASH: &str = "manifest.sha256";

/// The form of a manifest that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// How a backup was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// By pg_dump.
    Logical,
    /// By pg_basebackup.
    Physical,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Logical => "logical",
            Self::Physical => "physical",
        })
    }
}

/// How far the log had got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Events in the database.
    pub events: i64,
    /// The last one's position; none in an empty log.
    pub position: Option<String>,
    /// The last one's hash, in hex.
    pub hash: Option<String>,
    /// When the last one was recorded.
    pub recorded_at: Option<DateTime<Utc>>,
    /// What is added to the cluster's transaction ids to get those of positions.
    pub transaction_base: i64,
}

/// A file of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Below the backup's directory.
    pub path: String,
    /// Bytes.
    pub size_bytes: u64,
    /// Lower-case hex.
    pub sha256: String,
}

/// A role that the dump grants rights to. It is made where it is missing, without a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Whether it may log in.
    pub can_login: bool,
    /// The roles that it is a member of.
    pub member_of: Vec<String>,
}

/// What is particular to a copy of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Physical {
    /// Which cluster.
    pub system_identifier: String,
    /// The history that it is on.
    pub timeline: u32,
    /// Where the write-ahead log begins that makes it whole.
    pub start_lsn: String,
    /// Where that ends: further log is the archive's.
    pub end_lsn: String,
}

/// The files of runs, datasets and models at that time: `artifacts.jsonl` lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifacts {
    /// How many.
    pub files: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Whether the backup holds them, by hash, and not only their list.
    pub included: bool,
}

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this document.
    pub format: u32,
    /// The backup's directory.
    pub id: String,
    /// How it was made.
    pub kind: Kind,
    /// When that began.
    pub started_at: DateTime<Utc>,
    /// When it was whole.
    pub finished_at: DateTime<Utc>,
    /// Of the program that made it.
    pub program_version: String,
    /// Of the server.
    pub server_version: String,
    /// Its major part.
    pub server_major: u32,
    /// The state directory that the files of runs are in.
    pub state_directory: String,
    /// How far the log had got. Of a physical backup: when it began.
    pub head: Head,
    /// Whether the read models are in it; else they are made anew.
    pub read_models: bool,
    /// Roles that it needs.
    pub roles: Vec<Role>,
    /// Its files, but for those of `base/` (which `base/backup_manifest` lists) and of `files/` (which `artifacts.jsonl` does).
    pub files: Vec<FileEntry>,
    /// Bytes of all its files; those it shares with other backups included.
    pub size_bytes: u64,
    /// Of a physical backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical: Option<Physical>,
    /// Files of runs, datasets and models.
    pub artifacts: Artifacts,
}

impl Manifest {
    /// Writes it into the backup's directory, with its hash beside.
    pub(super) fn write(&self, directory: &Path) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| BackupError::io("write", directory)(error.into()))?;
        text.push(b'\n');
        write_private(&directory.join(NAME), &text)?;
        let hash = format!("{:x}  {NAME}\n", Sha256::digest(&text));
        write_private(&directory.join(HASH), hash.as_bytes())
    }

    /// Reads that of the backup `id`.
    pub(super) fn read(directory: &Path, id: &str) -> Result<Self, BackupError> {
        let read = |name: &str| -> Result<Vec<u8>, BackupError> {
            let path = directory.join(name);
            match fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(BackupError::damaged(id, format!("{name} is missing")))
                }
                read => read.map_err(BackupError::io("read", path)),
            }
        };
        let text = read(NAME)?;
        let noted = read(HASH)?;
        let hash = format!("{:x}", Sha256::digest(&text));
        if !String::from_utf8_lossy(&noted).starts_with(&hash) {
            return Err(BackupError::damaged(
                id,
                format!("{NAME} was altered: its SHA-256 is not what {HASH} says"),
            ));
        }
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let unreadable =
            |error: serde_json::Error| BackupError::damaged(id, format!("{NAME}: {error}"));
        let form: Form = serde_json::from_slice(&text).map_err(unreadable)?;
        if form.format > FORMAT {
            return Err(BackupError::Refused(format!(
                "backup {id} was made by a newer trainmaster (form {}): use that one",
                form.format
            )));
        }
        let manifest: Self = serde_json::from_slice(&text).map_err(unreadable)?;
        if manifest.id != id {
            return Err(BackupError::damaged(
                id,
                format!("{NAME} is that of backup {}", manifest.id),
            ));
        }
        Ok(manifest)
    }

    /// Whether this file is one of it.
    pub(super) fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }
}

/// Size and hash of a file, read in pieces of a megabyte.
pub(super) fn hash_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, format!("{:x}", hash.finalize())));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        size += read as u64;
    }
}

/// The entry of a file below `directory`.
pub(super) fn entry(directory: &Path, path: &str) -> Result<FileEntry, BackupError> {
    let full = directory.join(path);
    let (size_bytes, sha256) = hash_file(&full).map_err(BackupError::io("read", &full))?;
    Ok(FileEntry {
        path: path.to_owned(),
        size_bytes,
        sha256,
    })
}

/// Writes a file that only its owner reads, and waits for the disk.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), BackupError> {
    let write = || -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(BackupError::io("write", path))
}
