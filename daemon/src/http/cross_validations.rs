//! `/v1/cross-validations`: as many segmentation trainings as there are folds, and what they found together.

mod results;

pub use results::{Results, Spread};

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, Parameters},
    schema::{AtLeast, limit, named_position},
    segmentations::{self, Segmentation},
};
use crate::{
    commands::{Caller, CrossValidate},
    queries::{First, Page},
};
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    Category,
    cross_validation::{self, fold_id},
    id::CrossValidationId,
    segmentation::SegmentationSettings,
    slurm::Placement,
};
use utoipa::{IntoParams, ToSchema};

/// A cross-validation.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CrossValidation {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where the images are.
    pub images_path: String,
    /// Where their labels are.
    pub labels_path: String,
    /// How each fold is trained.
    #[schema(value_type = super::schema::SegmentationSettings)]
    pub settings: SegmentationSettings,
    /// On which cluster, with which resources each; null: on the daemon's machine.
    #[schema(value_type = Option<super::schema::Placement>)]
    pub placement: Option<Placement>,
    /// How many folds.
    pub folds: u16,
    /// `queued` (no fold has begun), `training`, `paused` (nothing goes on before a fold is resumed), `completed`, or `failed`: all folds have come to rest, and some
    /// have failed or were stopped or deleted.
    pub status: String,
    /// 0 to 100, of the steps of all folds.
    pub progress: f64,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
}

/// A cross-validation, with its folds and what they found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CrossValidationDetail {
    /// It.
    #[serde(flatten)]
    pub cross_validation: CrossValidation,
    /// Its folds, in order, as far as they have been made.
    pub trainings: Vec<Segmentation>,
    /// What those that have ended (`completed` or `stopped`) found on the images that each held out.
    pub results: Results,
}

/// A cross-validation as its events, and those of its folds, tell.
async fn look(
    state: &AppState,
    id: &str,
    created_at: Option<DateTime<Utc>>,
) -> Result<Option<CrossValidationDetail>, Problem> {
    let loaded = state
        .log()
        .load::<cross_validation::CrossValidation>(id)
        .await?
        .state;
    let (Some(queued), Ok(group)) = (loaded.queued(), CrossValidationId::new(id)) else {
        return Ok(None);
    };
    let created_at = match created_at {
        Some(at) => at,
        None => match state
            .queries()
            .began_at(Category::CrossValidation, id)
            .await?
        {
            Some(at) => at,
            None => return Ok(None),
        },
    };
    let ids: Vec<String> = (0..queued.folds)
        .filter_map(|index| fold_id(&group, index).ok())
        .map(String::from)
        .collect();
    let trainings = segmentations::look(state, &ids).await?;
    let has_ended =
        |training: &&Segmentation| ["completed", "stopped"].contains(&training.status.as_str());
    let found: Vec<_> = trainings
        .iter()
        .filter(has_ended)
        .filter_map(|training| training.quality.as_ref())
        .collect();
    let progress: f64 = trainings.iter().map(|training| training.progress).sum();
    Ok(Some(CrossValidationDetail {
        cross_validation: CrossValidation {
            id: id.to_owned(),
            name: queued.name.clone(),
            images_path: queued.images_path.clone(),
            labels_path: queued.labels_path.clone(),
            settings: queued.settings.clone(),
            placement: queued.placement.clone(),
            folds: queued.folds,
            status: status(loaded.has_folds(), queued.folds, &trainings).to_owned(),
            progress: progress / f64::from(queued.folds.max(1)),
            created_at,
        },
        results: results::gather(&found),
        trainings,
    }))
}

fn status(has_folds: bool, folds: u16, trainings: &[Segmentation]) -> &'static str {
    let count = |statuses: &[&str]| {
        trainings
            .iter()
            .filter(|training| statuses.contains(&training.status.as_str()))
            .count()
    };
    if !has_folds || (count(&["queued"]) == trainings.len() && !trainings.is_empty()) {
        "queued"
    } else if count(&["queued", "initializing", "training"]) > 0 {
        "training"
    } else if count(&["paused"]) > 0 {
        "paused"
    } else if count(&["completed"]) == usize::from(folds) {
        "completed"
    } else {
        "failed"
    }
}

/// Which cross-validations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Where the last page ended: its `next`.
    #[param(example = "812-33")]
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// Cross-validations, the newest first.
#[utoipa::path(
    get, path = "/v1/cross-validations", tag = "segmentations", operation_id = "listCrossValidations", params(Asked),
    responses((status = 200, body = Page<CrossValidation>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<CrossValidation>>, Problem> {
    let after = named_position("after", asked.after)?;
    let limit = limit(asked.limit)?;
    let mut begun = state
        .queries()
        .begun(First::CrossValidationQueued, after, limit as usize + 1)
        .await?;
    let more = begun.len() > limit as usize;
    begun.truncate(limit as usize);
    let last = begun.last().map(|begun| begun.position().to_string());
    let mut items = Vec::with_capacity(begun.len());
    for begun in begun {
        let found = look(&state, &begun.id, Some(begun.created_at)).await?;
        items.extend(found.map(|found| found.cross_validation));
    }
    Ok(Json(Page {
        items,
        next: last.filter(|_| more),
    }))
}

/// Queues a cross-validation. Its folds become segmentation trainings, one after the other on the daemon's machine, on a cluster as one array.
#[utoipa::path(
    post, path = "/v1/cross-validations", tag = "segmentations", operation_id = "queueCrossValidation", request_body = CrossValidate,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<CrossValidate>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().cross_validate(command, &caller).await?;
    Ok(answer(&state, accepted, wait, "cross-validations", true).await)
}

/// A cross-validation: its folds, what those that have ended found (mean and standard deviation, of each class too), and which failed and why.
/// It is read from the log, which is never behind.
#[utoipa::path(
    get, path = "/v1/cross-validations/{id}", tag = "segmentations", operation_id = "getCrossValidation",
    params(("id" = String, Path), AtLeast),
    responses((status = 200, body = CrossValidationDetail), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<CrossValidationDetail>, Problem> {
    at_least.position()?;
    look(&state, &id, None)
        .await?
        .map(Json)
        .ok_or_else(|| Problem::not_found("cross_validation", &id))
}
