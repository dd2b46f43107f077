//! The key that signs heads: in the state directory, for its owner alone.

use super::{Head, bytes, hex};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use ed25519_dalek::{Signer, SigningKey};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use trainmaster_domain::Position;

/// An Ed25519 key. Its secret half is in no log line and no answer, and is wiped from memory when it is dropped.
#[derive(Clone)]
pub struct HeadKey(SigningKey);

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum HeadKeyError {
    /// The file cannot be read or made.
    #[error("cannot {action} the key that signs heads, {path}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others can read it.
    #[error(
        "{path} can be read by others (mode {mode:o}): make it 0600; if somebody may have read it, remove it, and a new key is made"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It holds something else.
    #[error(
        "{path} is no key: it must hold 64 hexadecimal digits; remove it, and a new key is made"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
}

impl HeadKey {
    /// The key in the file `path`; one that is not there is made, from the kernel's randomness.
    ///
    /// # Errors
    /// [`HeadKeyError`].
    pub fn load_or_make(path: &Path) -> Result<Self, HeadKeyError> {
        match Self::load(path) {
            Err(HeadKeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Self::make(path).map_err(|source| HeadKeyError::Io {
                    action: "make",
                    path: path.to_owned(),
                    source,
                })?;
                Self::load(path)
            }
            loaded => loaded,
        }
    }

    fn load(path: &Path) -> Result<Self, HeadKeyError> {
        let failed = |source| HeadKeyError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(HeadKeyError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        (&mut file)
            .take(1000)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let seed = bytes(text.trim()).map_err(|_| HeadKeyError::Form {
            path: path.to_owned(),
        })?;
        Ok(Self::of_seed(seed))
    }

    /// Written beside, synced and linked: whoever else makes one at the same time, one of them stays.
    fn make(path: &Path) -> io::Result<()> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut seed)?;
        let beside = path.with_extension(format!("{}.partial", std::process::id()));
        let made = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            writeln!(file, "{}", hex(&seed))?;
            file.sync_all()?;
            match fs::hard_link(&beside, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                linked => linked,
            }
        })();
        fs::remove_file(&beside)?;
        made?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }

    pub(super) fn of_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// The half that others may know, as hex.
    #[must_use]
    pub fn public_key(&self) -> String {
        hex(self.0.verifying_key().as_bytes())
    }

    /// A head of so many streams and events with this digest.
    pub(super) fn sign(
        &self,
        position: Position,
        (streams, events, digest): (u64, u64, [u8; 32]),
        at: DateTime<Utc>,
    ) -> Head {
        let key = self.0.verifying_key();
        // As the line shows it.
        let at = at.duration_trunc(TimeDelta::milliseconds(1)).unwrap_or(at);
        let text = Head::signed_text(position, (streams, events, &digest), at, &key);
        Head {
            position,
            events,
            streams,
            digest,
            at,
            key,
            signature: self.0.sign(text.as_bytes()),
        }
    }
}

impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeadKey({})", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("head.key");
        let key = HeadKey::load_or_make(&path).unwrap().public_key();
        assert_eq!(HeadKey::load_or_make(&path).unwrap().public_key(), key);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        let secret = fs::read_to_string(&path).unwrap();
        assert!(!format!("{:?}", HeadKey::load_or_make(&path).unwrap()).contains(secret.trim()));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            HeadKey::load_or_make(&path),
            Err(HeadKeyError::Open { mode: 0o640, .. })
        ));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "short").unwrap();
        assert!(matches!(
            HeadKey::load_or_make(&path),
            Err(HeadKeyError::Form { .. })
        ));
    }
}
