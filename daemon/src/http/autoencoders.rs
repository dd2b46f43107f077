//! `/v1/autoencoders`: taking autoencoders from elsewhere; `/v1/trainings/{id}/autoencoder`: giving them away.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, Parameters},
};
use crate::commands::{Caller, ImportAutoencoder};
use axum::{
    Json, body,
    extract::{Path, State, rejection::PathRejection},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::{fs, path};
use tokio_util::io::ReaderStream;
use utoipa::ToSchema;

/// The most files that an autoencoder's directory can have: a few for each of a training's 64 sites.
const MOST_FILES: usize = 1_000;

/// A file of an autoencoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AutoencoderFile {
    /// Its path in the autoencoder's directory.
    pub name: String,
    /// Its bytes.
    pub size_bytes: u64,
}

/// Takes a SAELens directory of the daemon's machine as an autoencoder: a training without steps, which is complete once the
/// directory has been read and checked.
#[utoipa::path(
    post, path = "/v1/autoencoders", tag = "trainings", operation_id = "importAutoencoder", request_body = ImportAutoencoder,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn import(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<ImportAutoencoder>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state
        .commands()
        .import_autoencoder(command, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, "trainings", true).await)
}

/// The files of a training's autoencoder, which SAELens loads.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/autoencoder", tag = "trainings", operation_id = "listAutoencoderFiles",
    params(("id" = String, Path)),
    responses((status = 200, body = Vec<AutoencoderFile>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Id(id): Id,
) -> Result<Json<Vec<AutoencoderFile>>, Problem> {
    files(directory(&state, &id).await?).await.map(Json)
}

/// A file of a training's autoencoder, as it is.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/autoencoder/{name}", tag = "trainings", operation_id = "getAutoencoderFile",
    params(("id" = String, Path), ("name" = String, Path, description = "As the list of files names it.")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((id, name)) = path
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_id", error.body_text()))?;
    let directory = directory(&state, &id).await?;
    // Only what the list names: a path that leads elsewhere is not among them.
    let listed = files(directory.clone()).await?;
    let Some(file) = listed.into_iter().find(|file| file.name == name) else {
        return Err(Problem::not_found("file of the autoencoder", &name));
    };
    let opened = tokio::fs::File::open(path::Path::new(&directory).join(&file.name))
        .await
        .map_err(|error| unreadable(&directory, &error.to_string()))?;
    Ok((
        [
            (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
            (header::CONTENT_LENGTH, file.size_bytes.to_string()),
        ],
        body::Body::from_stream(ReaderStream::new(opened)),
    )
        .into_response())
}

/// Where a training's autoencoder is.
async fn directory(state: &AppState, id: &str) -> Result<String, Problem> {
    let training = state
        .queries()
        .training(id)
        .await?
        .ok_or_else(|| Problem::not_found("training", id))?;
    training.result_path.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "no_autoencoder",
            format!(
                "training {id} is {} and has no autoencoder yet: let it complete, or stop it to keep what it has",
                training.training.status
            ),
        )
    })
}

async fn files(directory: String) -> Result<Vec<AutoencoderFile>, Problem> {
    let named = directory.clone();
    tokio::task::spawn_blocking(move || walk(path::Path::new(&directory)))
        .await
        .map_err(|error| error.to_string())
        .and_then(|walked| walked.map_err(|error| error.to_string()))
        .map_err(|error| unreadable(&named, &error))
}

/// The files of a directory and of those in it, by name.
fn walk(root: &path::Path) -> std::io::Result<Vec<AutoencoderFile>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file()
                && found.len() < MOST_FILES
                && let Ok(name) = entry.path().strip_prefix(root)
            {
                found.push(AutoencoderFile {
                    name: name.to_string_lossy().into_owned(),
                    size_bytes: entry.metadata()?.len(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn unreadable(directory: &str, error: &str) -> Problem {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "autoencoder_unreadable",
        format!("the autoencoder in {directory} cannot be read: {error}"),
    )
}
