//! Putting a restored cluster in the place of the live one: two renamings that a note makes one.
//!
//! The note is written when the restored cluster is proved, and from then on the restore is done: whoever uses the state directory next
//! finishes what a crash left of the renamings.

use super::PostgresError;
use crate::state_directory::StateDirectory;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

const NOTE: &str = "restore.json";

/// What is to be moved, by names in the state directory.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    restored: String,
    aside: String,
}

/// Puts the cluster that is called `restored` in the state directory in the place of the live one, which is then called `aside`. Both servers
/// are stopped, and the caller holds the state directory's lock.
///
/// # Errors
/// The file system refuses. When the note was written, the next [`finish`] tries again.
pub(crate) fn swap(
    state: &StateDirectory,
    restored: &str,
    aside: &str,
) -> Result<(), PostgresError> {
    let path = state.path().join(NOTE);
    let note = Note {
        restored: restored.to_owned(),
        aside: aside.to_owned(),
    };
    let write = || -> io::Result<()> {
        let beside = path.with_extension("json.new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(&note)?)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        sync(state.path())
    };
    write().map_err(PostgresError::io("write", &path))?;
    finish(state)
}

/// Does what is left of a swap. Nothing, mostly.
///
/// # Errors
/// The note cannot be read, or the file system refuses.
pub(crate) fn finish(state: &StateDirectory) -> Result<(), PostgresError> {
    let path = state.path().join(NOTE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(PostgresError::io("read", path)(error)),
    };
    let note: Note = serde_json::from_slice(&text)
        .map_err(|error| PostgresError::io("read", &path)(error.into()))?;
    let live = state.postgres();
    let restored = state.path().join(&note.restored);
    let aside = state.path().join(&note.aside);
    let rename = |from: &Path, to: &Path| {
        fs::rename(from, to)
            .and_then(|()| sync(state.path()))
            .map_err(PostgresError::io("move", from))
    };
    if restored.exists() {
        if live.exists() {
            rename(&live, &aside)?;
        }
        rename(&restored, &live)?;
    }
    fs::remove_file(&path)
        .and_then(|()| sync(state.path()))
        .map_err(PostgresError::io("remove", &path))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(with: &[&str]) -> (tempfile::TempDir, StateDirectory) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDirectory::prepare(folder.path()).unwrap();
        for name in with {
            fs::create_dir(state.path().join(name)).unwrap();
            fs::write(state.path().join(name).join("is"), name).unwrap();
        }
        (folder, state)
    }

    fn is(state: &StateDirectory, name: &str) -> Option<String> {
        fs::read_to_string(state.path().join(name).join("is")).ok()
    }

    #[test]
    fn a_swap_that_was_cut_off_anywhere_is_finished_by_whoever_comes_next() {
        let note = r#"{"restored":"new","aside":"old"}"#;
        // After the note; between the renamings; before the note is removed.
        let cut: [&dyn Fn(&Path); 3] = [
            &|_| {},
            &|state| fs::rename(state.join("postgres"), state.join("old")).unwrap(),
            &|state| {
                fs::rename(state.join("postgres"), state.join("old")).unwrap();
                fs::rename(state.join("new"), state.join("postgres")).unwrap();
            },
        ];
        for cut in cut {
            let (_folder, state) = state(&["postgres", "new"]);
            fs::write(state.path().join(NOTE), note).unwrap();
            cut(state.path());
            finish(&state).unwrap();
            assert_eq!(is(&state, "postgres").as_deref(), Some("new"));
            assert_eq!(is(&state, "old").as_deref(), Some("postgres"));
            assert!(!state.path().join(NOTE).exists());
            finish(&state).unwrap();
        }
    }

    #[test]
    fn without_a_live_cluster_the_restored_one_takes_its_place() {
        let (_folder, state) = state(&["new"]);
        swap(&state, "new", "old").unwrap();
        assert_eq!(is(&state, "postgres").as_deref(), Some("new"));
        assert!(!state.path().join("old").exists());
    }
}
