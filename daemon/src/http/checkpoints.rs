//! `/v1/trainings/{id}/checkpoints`.

use super::{
    AppState, Problem,
    extract::{Id, Parameters, invalid_query},
    schema::{limit, optional_position},
};
use crate::queries::{Checkpoint, Page};
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::collections::HashMap;
use trainmaster_domain::{
    Aggregate, Category, Event, StreamId,
    id::TrainingId,
    training::{KeptCheckpoint, Training, TrainingEvent},
};
use utoipa::IntoParams;

/// Events of a stream that are read together.
const PAGE: usize = 500;

/// Which checkpoints.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Where the last page ended: its `next`.
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

/// Checkpoints of a training, the newest first.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/checkpoints", tag = "trainings", operation_id = "listCheckpoints",
    params(("id" = String, Path), Asked),
    responses((status = 200, body = Page<Checkpoint>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<Checkpoint>>, Problem> {
    let before = asked
        .after
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| invalid_query("after: it is not what a page gave as `next`"))?;
    let limit = limit(asked.limit)?;
    state
        .show_at_least(optional_position(asked.at_least)?)
        .await?;
    if TrainingId::is_segmentation(&id) {
        let page = of_images(&state, &id, before, limit as usize).await?;
        return page
            .map(Json)
            .ok_or_else(|| Problem::not_found("training", &id));
    }
    let page = state.queries().checkpoints(&id, before, limit).await?;
    if page.items.is_empty() && !state.queries().has_training(&id).await? {
        return Err(Problem::no_training(&id));
    }
    Ok(Json(page))
}

/// Checkpoints of a training that segments images, as its events tell; none where there is no such training.
async fn of_images(
    state: &AppState,
    id: &str,
    before: Option<i32>,
    limit: usize,
) -> Result<Option<Page<Checkpoint>>, Problem> {
    let training = state.log().load::<Training>(id).await?.state;
    if training.segmentation().is_none() || training.is_deleted() {
        return Ok(None);
    }
    let step = |kept: &KeptCheckpoint| i32::try_from(kept.step).unwrap_or(i32::MAX);
    let mut kept: Vec<&KeptCheckpoint> = training
        .checkpoints()
        .iter()
        .rev()
        .filter(|kept| before.is_none_or(|before| step(kept) < before))
        .take(limit + 1)
        .collect();
    let more = kept.len() > limit;
    kept.truncate(limit);
    let mut times = state.queries().checkpoint_times(id).await?;
    if kept
        .iter()
        .any(|kept| !times.contains_key(kept.id.as_str()))
    {
        // Of what has left the database, the archive knows when.
        times = saved(state, id).await?;
    }
    let items: Vec<Checkpoint> = kept
        .into_iter()
        .filter_map(|kept| {
            Some(Checkpoint {
                id: kept.id.to_string(),
                training_id: id.to_owned(),
                step: step(kept),
                loss: kept.loss,
                sparsity: None,
                storage_path: kept.path.clone(),
                file_size_bytes: Some(kept.size_bytes),
                created_at: *times.get(kept.id.as_str())?,
            })
        })
        .collect();
    let next = items.last().map(|last| last.step.to_string());
    Ok(Some(Page {
        items,
        next: next.filter(|_| more),
    }))
}

/// When each checkpoint was announced, from the whole of the stream, a page at a time.
async fn saved(state: &AppState, id: &str) -> Result<HashMap<String, DateTime<Utc>>, Problem> {
    let stream = StreamId::new(Category::Training, id);
    let mut times = HashMap::new();
    let mut version = 0;
    loop {
        let page = state.log().read_stream(&stream, version, PAGE).await?;
        let is_last = page.len() < PAGE;
        for recorded in page {
            version = recorded.version;
            if let Event::Training(TrainingEvent::CheckpointSaved(saved)) = recorded.event {
                times.insert(saved.checkpoint_id.to_string(), recorded.recorded_at);
            }
        }
        if is_last {
            return Ok(times);
        }
    }
}
