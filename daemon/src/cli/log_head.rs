//! `log head`: how far the log has got, signed.

use super::{client::Client, failure::Failure, output::Output};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) async fn head(
    client: &Client,
    out: Option<PathBuf>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let head: Value = client.get("/v1/log/head").await?;
    let line = head.get("line").and_then(Value::as_str).ok_or_else(|| {
        Failure::failed(
            "unexpected_answer",
            "the daemon's answer has no head in it; is it of another version?",
        )
    })?;
    if let Some(path) = out {
        write(&path, line).map_err(|error| {
            Failure::failed(
                "file_not_written",
                format!("{} cannot be written: {error}", path.display()),
            )
        })?;
    }
    if output.is_json() {
        output.json(&head)?;
    } else {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Beside, synced and renamed.
fn write(path: &Path, line: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let mut file = File::create(&beside)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
