//! A text that came in a request is kept as a file, which is there whole or not at all.

use super::CommandError;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};
use trainmaster_domain::dataset::Downloaded;
use ulid::Ulid;

/// Writes the text into the directory `raw`, which is made. Blocks.
pub(super) fn keep_text(raw: &Path, text: &str) -> Result<Downloaded, CommandError> {
    if text.trim().is_empty() {
        return Err(CommandError::Invalid {
            field: "text",
            problem: "it is empty".to_owned(),
        });
    }
    let path = raw.join("text.txt");
    write(raw, &path, text).map_err(|source| {
        discard_empty(raw);
        CommandError::Text {
            path: path.display().to_string(),
            source,
        }
    })?;
    let file_path = path.to_str().map(str::to_owned);
    Ok(Downloaded {
        file_path: file_path.ok_or_else(|| CommandError::Invalid {
            field: "text",
            problem: "the state directory's path is not UTF-8; rename it".to_owned(),
        })?,
        size_bytes: i64::try_from(text.len()).unwrap_or(i64::MAX),
        fetched: None,
    })
}

fn write(raw: &Path, path: &Path, text: &str) -> io::Result<()> {
    fs::create_dir_all(raw)?;
    // The same request may come twice at once: each writes a file of its own, and either is the text.
    let beside = raw.join(format!(".text.txt.{}.partial", Ulid::generate()));
    let written = write_synced(&beside, text).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written?;
    File::open(raw)?.sync_all()
}

/// Removes the directory of a dataset that has not come about, with its text. Blocks.
pub(super) fn discard_text(raw: &Path) {
    let _ = fs::remove_dir_all(raw);
    discard_empty(raw);
}

/// Directories that hold nothing go; others are somebody's.
fn discard_empty(raw: &Path) {
    for directory in [Some(raw), raw.parent()].into_iter().flatten() {
        let _ = fs::remove_dir(directory);
    }
}

fn write_synced(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
