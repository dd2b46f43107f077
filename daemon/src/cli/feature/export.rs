//! `feature export`: the feature table as a Parquet file, written beside, synced and renamed.

use crate::cli::{
    client::{Client, encode},
    failure::Failure,
    format,
    output::Output,
};
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) async fn export(
    client: &Client,
    training: &str,
    file: Option<PathBuf>,
    output: Output,
) -> Result<ExitCode, Failure> {
    let path = file.unwrap_or_else(|| {
        PathBuf::from(format!("{}.features.parquet", training.replace('/', "_")))
    });
    let beside = beside(&path);
    let written = receive(client, training, &beside).await;
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(failure) => {
            // It may not even have been made.
            fs::remove_file(&beside).ok();
            return Err(failure);
        }
    };
    fs::rename(&beside, &path).map_err(|error| cannot_write(&path, &error))?;
    if output.is_json() {
        output.json(&json!({ "path": path, "bytes": bytes }))?;
    } else {
        output.line(format!("{} ({})", path.display(), format::bytes(bytes)));
    }
    Ok(ExitCode::SUCCESS)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    name.into()
}

async fn receive(client: &Client, training: &str, path: &Path) -> Result<i64, Failure> {
    let address = format!("/v1/trainings/{}/features.parquet", encode(training));
    let mut body = client
        .stream(&Method::GET, &address, &[])
        .await?
        .into_body();
    let mut file = File::create(path).map_err(|error| cannot_write(path, &error))?;
    let mut bytes = 0_i64;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::failed(
                "export_incomplete",
                format!("the file did not arrive whole ({error}); ask again, and look at the daemon's log if it stays so"),
            )
        })?;
        if let Some(data) = frame.data_ref() {
            file.write_all(data)
                .map_err(|error| cannot_write(path, &error))?;
            bytes += data.len() as i64;
        }
    }
    file.sync_all()
        .map_err(|error| cannot_write(path, &error))?;
    Ok(bytes)
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(
        "cannot_write",
        format!(
            "{} cannot be written: {error}; choose another with --output",
            path.display()
        ),
    )
}
