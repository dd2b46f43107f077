//! `report`: a training on one page.

use super::{
    client::{Client, encode},
    failure::Failure,
    output::Output,
};
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) async fn report(
    client: &Client,
    id: &str,
    path: Option<PathBuf>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let page = client
        .get_text(&format!("/v1/trainings/{}/report", encode(id)))
        .await?;
    let path = path.unwrap_or_else(|| PathBuf::from(format!("{id}.html")));
    if path == Path::new("-") {
        output.piece(&page);
        return Ok(ExitCode::SUCCESS);
    }
    write(&path, page.as_bytes()).map_err(|error| {
        Failure::failed(
            "report_not_written",
            format!(
                "{} cannot be written: {error}; name another file with --output",
                path.display()
            ),
        )
    })?;
    if output.is_json() {
        output.json(&json!({ "path": path, "bytes": page.len() }))?;
    } else {
        output.line(path.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

/// A file that is there whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    let beside = path.with_file_name(name);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}
