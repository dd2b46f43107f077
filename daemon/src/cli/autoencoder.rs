//! `autoencoder import` and `autoencoder export`.

use super::{
    arguments::AutoencoderCommand,
    client::{Client, encode},
    failure::Failure,
    output::Output,
    register::{Answer, absolute},
    watch,
};
use crate::http::AutoencoderFile;
use http_body_util::BodyExt;
use hyper::Method;
use serde_json::json;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) async fn run(
    client: &Client,
    command: AutoencoderCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        AutoencoderCommand::Import {
            path,
            model,
            dataset,
            watch,
            idempotency_key,
        } => {
            let body = json!({
                "path": absolute(client, &path)?,
                "model": model,
                "dataset": dataset,
            });
            let answer: Answer = client
                .post("/v1/autoencoders", Some(body), idempotency_key.as_deref())
                .await?;
            if output.is_json() {
                output.json(&answer)?;
            } else {
                output.line(&answer.id);
            }
            if watch {
                watch::watch(client, &answer.id, answer.position.as_deref(), output).await
            } else {
                Ok(ExitCode::SUCCESS)
            }
        }
        AutoencoderCommand::Export {
            training,
            directory,
        } => export(client, &training, &directory, output).await,
    }
}

/// Into a directory beside the wanted one, which takes its name when it is whole.
async fn export(
    client: &Client,
    training: &str,
    directory: &Path,
    output: Output,
) -> Result<ExitCode, Failure> {
    if directory.exists() {
        return Err(Failure::usage(
            "directory_exists",
            format!(
                "{} is there already; name a directory that is not",
                directory.display()
            ),
        ));
    }
    let route = format!("/v1/trainings/{}/autoencoder", encode(training));
    let files: Vec<AutoencoderFile> = client.get(&route).await?;
    let mut beside = directory.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let unwritten = |error: io::Error| {
        Failure::failed(
            "not_written",
            format!("{} cannot be written: {error}", directory.display()),
        )
    };
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(unwritten)?;
    }
    for file in &files {
        let path = beside.join(&file.name);
        fs::create_dir_all(path.parent().unwrap_or(&beside)).map_err(unwritten)?;
        let written = fetch(
            client,
            &format!("{route}/{}", encode(&file.name)),
            File::create(&path).map_err(unwritten)?,
        )
        .await?;
        if written != file.size_bytes {
            return Err(Failure::failed(
                "cut_short",
                format!(
                    "{} came with {written} of {} bytes; ask again",
                    file.name, file.size_bytes
                ),
            ));
        }
    }
    fs::rename(&beside, directory).map_err(unwritten)?;
    if output.is_json() {
        output.json(&files)?;
    } else {
        output.line(directory.display().to_string());
    }
    Ok(ExitCode::SUCCESS)
}

async fn fetch(client: &Client, route: &str, mut file: File) -> Result<u64, Failure> {
    let mut body = client.stream(&Method::GET, route, &[]).await?.into_body();
    let mut written = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::failed("connection_lost", error.to_string()))?;
        if let Some(bytes) = frame.data_ref() {
            file.write_all(bytes)
                .map_err(|error| Failure::failed("not_written", error.to_string()))?;
            written += bytes.len() as u64;
        }
    }
    file.sync_all()
        .map_err(|error| Failure::failed("not_written", error.to_string()))?;
    Ok(written)
}
