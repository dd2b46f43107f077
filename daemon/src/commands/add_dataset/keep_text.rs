//! A text that came in a request is kept as a file, which is there whole or not at all.

use super::CommandError;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};
use trainmaster_domain::dataset::Downloaded;

/// Writes the text into the directory `raw`, which is made. Blocks.
pub(super) fn keep_text(raw: &Path, text: &str) -> Result<Downloaded, CommandError> {
    if text.trim().is_empty() {
        return Err(CommandError::Invalid {
            field: "text",
            problem: "it is empty".to_owned(),
        });
    }
    let path = raw.join("text.txt");
    write(raw, &path, text).map_err(|source| CommandError::Text {
        path: path.display().to_string(),
        source,
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
    let beside = raw.join(".text.txt.partial");
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(raw)?.sync_all()
}
