//! Where the password comes from when the URL has none: a setting, a file that nobody else can read, a systemd credential; then libpq's
//! password file, which the driver reads itself.

use super::DatabaseError;
use crate::config::Secret;
use std::{
    fs::File,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// No password is longer; a file that is holds something else.
const LONGEST_BYTES: u64 = 4096;

/// The first that is there: `password`, what `file` holds, the systemd credential of this name.
pub(super) fn find(
    password: Option<&Secret>,
    file: Option<&Path>,
    credential: &str,
) -> Result<Option<Secret>, DatabaseError> {
    if let Some(password) = password {
        return Ok(Some(password.clone()));
    }
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    if let Some(path) = file {
        // The service manager shows its files to the service alone, whatever their mode says.
        let guarded = credentials
            .as_deref()
            .is_some_and(|directory| path.starts_with(directory));
        return read(path, guarded).map(Some);
    }
    match credentials.map(|directory| directory.join(credential)) {
        Some(path) if path.exists() => read(&path, true).map(Some),
        _ => Ok(None),
    }
}

fn read(path: &Path, guarded: bool) -> Result<Secret, DatabaseError> {
    let failed = |reason: String| DatabaseError::PasswordFile {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    if !metadata.is_file() {
        return Err(failed("it is no file".to_owned()));
    }
    if !guarded {
        private(path, metadata.permissions().mode())?;
    }
    let mut text = String::new();
    file.take(LONGEST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    if text.len() as u64 > LONGEST_BYTES {
        return Err(failed(format!("it is longer than {LONGEST_BYTES} bytes")));
    }
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() || password.contains('\n') {
        return Err(failed("expected the password on one line".to_owned()));
    }
    Ok(Secret::new(password))
}

fn private(path: &Path, mode: u32) -> Result<(), DatabaseError> {
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(DatabaseError::PasswordFile {
        path: path.to_owned(),
        reason: format!(
            "others may read it (mode {:03o}): chmod 600 it, and change the password if they could log in",
            mode & 0o777
        ),
    })
}

/// libpq's password file must be private too. The driver passes over one that is not, and the server would then ask for a password that
/// somebody believes to have given.
pub(super) fn check_pgpass() -> Result<(), DatabaseError> {
    let path = std::env::var_os("PGPASSFILE")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".pgpass")));
    match path.and_then(|path| Some((std::fs::metadata(&path).ok()?, path))) {
        Some((metadata, path)) if metadata.is_file() => {
            private(&path, metadata.permissions().mode())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write};

    fn written(mode: u32, text: &str) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_is_read_when_it_is_private_and_refused_when_it_is_not() {
        let (_directory, path) = written(0o600, "s3cret phrase\n");
        let found = find(None, Some(&path), "none").unwrap().unwrap();
        assert_eq!(found.expose(), "s3cret phrase");
        for mode in [0o640, 0o604, 0o660] {
            let (_directory, path) = written(mode, "s3cret phrase\n");
            let error = find(None, Some(&path), "none").unwrap_err().to_string();
            assert!(
                error.contains("chmod 600") && !error.contains("s3cret"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_no_password_is_refused_without_being_shown() {
        for text in ["", "\n", "two\nlines\n"] {
            let (_directory, path) = written(0o600, text);
            let error = find(None, Some(&path), "none").unwrap_err().to_string();
            assert!(error.contains("one line"), "{error}");
        }
        let (_directory, path) = written(0o400, &"x".repeat(5000));
        assert!(find(None, Some(&path), "none").is_err());
        let missing = find(None, Some(Path::new("/nowhere/password")), "none").unwrap_err();
        assert!(missing.to_string().contains("/nowhere/password"));
    }

    #[test]
    fn the_setting_itself_comes_first() {
        let (_directory, path) = written(0o644, "from the file");
        let found = find(Some(&Secret::new("given")), Some(&path), "none").unwrap();
        assert_eq!(found.unwrap().expose(), "given");
    }
}
