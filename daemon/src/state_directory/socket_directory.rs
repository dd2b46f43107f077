//! Where sockets go when the state directory's path is too long for one.

use sha2::{Digest, Sha256};
use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// The longest path of a Unix socket: `sun_path` has 108 bytes, the last of which ends it.
pub const SOCKET_PATH_MAX_BYTES: usize = 107;

/// The directory for a socket called `name`: `wanted` when the path fits, else a short one that depends on `wanted` and `uid` alone, so that
/// every process that asks is told the same. It may not exist yet.
#[must_use]
pub fn socket_directory(wanted: &Path, name: &str, uid: u32) -> PathBuf {
    if wanted.as_os_str().len() + 1 + name.len() <= SOCKET_PATH_MAX_BYTES {
        return wanted.to_owned();
    }
    let hash: String = Sha256::digest(wanted.as_os_str().as_encoded_bytes())
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let of_user = PathBuf::from(format!("/run/user/{uid}"));
    if of_user.is_dir() {
        of_user.join(format!("trainmaster-{hash}"))
    } else {
        PathBuf::from(format!("/tmp/trainmaster-{uid}-{hash}"))
    }
}

/// Makes a directory for sockets that is `uid`'s alone. One that is there must be so already: in /tmp, anybody could have put it there.
///
/// # Errors
/// It cannot be made, or is somebody else's or no directory (`AlreadyExists`).
pub fn make_private(path: &Path, uid: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let metadata = fs::symlink_metadata(path)?;
            if !metadata.is_dir() || metadata.uid() != uid {
                return Err(error);
            }
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        }
        made => made,
    }
}
