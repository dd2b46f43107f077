//! `/v1/projections`: the tables that applications read.

use super::{
    AppState, Problem,
    extract::{NoBody, Segment},
    long_running,
};
use crate::progress::Progress;
use crate::projector::{Projector, ProjectorError, ReadModelStatus};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use tokio::sync::watch;
use trainmaster_projections::ReadModel;
use utoipa::ToSchema;

/// Every read model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Projections {
    /// Each with its place in the log: `read_model`, `state`, `position`, `events`, `behind_events`, `behind_seconds`, …;
    /// `gaps` names the artifacts whose rows it lacks.
    #[schema(value_type = Vec<Object>)]
    items: Vec<ReadModelStatus>,
}

/// How far each read model is behind the log.
#[utoipa::path(
    get, path = "/v1/projections", tag = "projections", operation_id = "listProjections",
    responses((status = 200, body = Projections), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Projections>, Problem> {
    let items = state.projector().status().await?;
    Ok(Json(Projections { items }))
}

/// Makes a read model anew from the whole log, beside the live one, compares and swaps the two; readers go on all the while. One that was
/// interrupted goes on where it was. The answer is a stream of JSON lines: `{"working": {"seconds": …}}` and `{"progress":
/// {"done": …, "total": …, "unit": "events"}}` each second, then `{"done": …}` or `{"problem": …}`.
#[utoipa::path(
    post, path = "/v1/projections/{read_model}/rebuild", tag = "projections", operation_id = "rebuildProjection",
    params(("read_model" = String, Path, example = "mistudio")),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn rebuild(
    State(state): State<AppState>,
    Segment(name): Segment,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let projector = state.projector().clone();
    let read_model = find(&projector, &name)?;
    let (progress, told) = watch::channel(Progress::default());
    long_running::answer_telling(&state, told, async move {
        Ok(projector.rebuild_telling(read_model, &progress).await?)
    })
}

/// Builds what the log makes of a read model beside the live one, compares the two and removes it. `is_same` of the outcome says whether each
/// table has the same rows. The answer is a stream of JSON lines as that of a rebuild.
#[utoipa::path(
    post, path = "/v1/projections/{read_model}/verify", tag = "projections", operation_id = "verifyProjection",
    params(("read_model" = String, Path, example = "mistudio")),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn verify(
    State(state): State<AppState>,
    Segment(name): Segment,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let projector = state.projector().clone();
    let read_model = find(&projector, &name)?;
    let (progress, told) = watch::channel(Progress::default());
    long_running::answer_telling(&state, told, async move {
        Ok(projector.verify(read_model, &progress).await?)
    })
}

fn find(projector: &Projector, name: &str) -> Result<ReadModel, Problem> {
    projector
        .read_models()
        .find(|read_model| read_model.name() == name)
        .ok_or_else(|| {
            let name: String = name.chars().take(100).collect();
            Problem::new(
                StatusCode::NOT_FOUND,
                "read_model_not_found",
                format!("there is no read model {name:?}; GET /v1/projections lists what there is"),
            )
        })
}

impl From<ProjectorError> for Problem {
    fn from(error: ProjectorError) -> Self {
        match error {
            ProjectorError::Rebuilding { .. } => Self::new(
                StatusCode::CONFLICT,
                "rebuild_in_progress",
                format!("{error}; GET /v1/projections shows how far it is"),
            ),
            other => Self::internal(&other),
        }
    }
}
