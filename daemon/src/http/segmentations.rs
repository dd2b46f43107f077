//! `/v1/segmentations`: trainings of networks that segment images. What can be asked of one is asked as of any training:
//! `/v1/trainings/{id}/pause` and so on.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, Parameters},
    schema::{AtLeast, limit, named_position, one_of},
    slurm,
    trainings::STATUSES,
};
use crate::{
    commands::{Caller, Segment},
    queries::{First, LatestStep, Page, Pager, SlurmJobSummary},
};
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    Category, StreamId,
    run::{control::Request, journal::SegmentationQuality},
    segmentation::SegmentationSettings,
    slurm::Placement,
    training::{Fold, Training},
};
use utoipa::{IntoParams, ToSchema};

/// A training of a network that segments images.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Segmentation {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Where its images are.
    pub images_path: String,
    /// Where their labels are.
    pub labels_path: String,
    /// How: all of it.
    #[schema(value_type = super::schema::SegmentationSettings)]
    pub settings: SegmentationSettings,
    /// Of which cross-validation it is a fold (`group`), and of what is held out (`split`: its `index` of `folds`); null: of none.
    #[schema(value_type = Option<Object>)]
    pub fold: Option<Fold>,
    /// On which cluster it is executed, with which resources; null: on the daemon's machine.
    #[schema(value_type = Option<super::schema::Placement>)]
    pub placement: Option<Placement>,
    /// The SLURM job that it became last.
    pub slurm_job: Option<SlurmJobSummary>,
    /// `queued`, `initializing`, `training`, `paused`, `stopped`, `completed`, `failed` or `error`.
    pub status: String,
    /// `pause` or `stop` while its run has been asked for it and has not answered yet.
    pub requested: Option<String>,
    /// The last step that was recorded.
    pub current_step: u64,
    /// Steps to do.
    pub total_steps: u64,
    /// 0 to 100.
    pub progress: f64,
    /// The last recorded step.
    pub latest: Option<LatestStep>,
    /// What its network made of held-out images last: `step`, `images`, `loss`, `dice` of each class but the background, and `mean_dice`.
    #[schema(value_type = Option<Object>)]
    pub quality: Option<SegmentationQuality>,
    /// The model that it produced, once it has.
    pub model_id: Option<String>,
    /// What that is called.
    pub model_name: Option<String>,
    /// The directory of the network, once there is one.
    pub result_path: Option<String>,
    /// The checkpoint that it would go on from: its directory.
    pub latest_checkpoint: Option<String>,
    /// Attempts after the first.
    pub retry_count: u32,
    /// What went wrong, for programs.
    pub error_code: Option<String>,
    /// The same, and what to do.
    pub error_message: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When a run first began to train.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

/// Segmentation trainings as their events tell, in the order of their ids. What is none, or has been deleted, is left out.
pub(super) async fn look(state: &AppState, ids: &[String]) -> Result<Vec<Segmentation>, Problem> {
    let mut trainings = Vec::with_capacity(ids.len());
    for id in ids {
        let training = state.log().load::<Training>(id).await?.state;
        if training.segmentation().is_some()
            && !trainmaster_domain::Aggregate::is_deleted(&training)
        {
            trainings.push((id.as_str(), training));
        }
    }
    let known: Vec<(&str, &Training)> = trainings.iter().map(|(id, it)| (*id, it)).collect();
    let courses = state.queries().courses(&known).await?;
    let placed: Vec<_> = trainings
        .iter()
        .filter(|(_, training)| training.placement().is_some())
        .map(|(id, training)| {
            let run = StreamId::new(Category::Training, *id);
            (run, training.attempts().lease)
        })
        .collect();
    let mut slurm_jobs = slurm::of_runs(state, &placed).await?.into_iter();
    let mut found = Vec::with_capacity(trainings.len());
    for ((id, training), course) in trainings.into_iter().zip(courses) {
        let Some(queued) = training.segmentation().cloned() else {
            continue;
        };
        let slurm_job = if training.placement().is_some() {
            slurm_jobs.next().flatten()
        } else {
            None
        };
        let (current_step, total_steps) = (training.current_step(), training.total_steps());
        let model = training.model().filter(|_| training.result().is_some());
        found.push(Segmentation {
            id: id.to_owned(),
            name: queued.name,
            images_path: queued.images_path,
            labels_path: queued.labels_path,
            settings: queued.settings,
            fold: queued.fold,
            placement: queued.placement,
            slurm_job,
            status: training.status().as_str().to_owned(),
            requested: training.requested().map(|request| {
                match request {
                    Request::Pause => "pause",
                    Request::Stop => "stop",
                }
                .to_owned()
            }),
            current_step,
            total_steps,
            progress: 100.0 * current_step as f64 / total_steps.max(1) as f64,
            latest: course.latest,
            quality: training.quality().cloned(),
            model_id: model.map(|model| model.model_id.clone()),
            model_name: model.map(|model| model.model_name.clone()),
            result_path: training.result().map(|result| result.path.clone()),
            latest_checkpoint: training
                .latest_checkpoint()
                .map(|checkpoint| checkpoint.path.clone()),
            retry_count: training.attempts().retries,
            error_code: course.error_code,
            error_message: course.error_message,
            created_at: course.created_at,
            started_at: course.started_at,
            completed_at: course.ended_at,
            updated_at: course.updated_at,
        });
    }
    Ok(found)
}

/// Which segmentation trainings.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only those in this status.
    status: Option<String>,
    /// Where the last page ended: its `next`.
    #[param(example = "812-33")]
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// Segmentation trainings, the newest first, folds of cross-validations among them. A page may be short and not be the last; `next` says.
#[utoipa::path(
    get, path = "/v1/segmentations", tag = "segmentations", operation_id = "listSegmentations", params(Asked),
    responses((status = 200, body = Page<Segmentation>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<Segmentation>>, Problem> {
    let status = one_of("status", asked.status, STATUSES)?;
    let after = named_position("after", asked.after)?;
    let mut pager = Pager::new(after, limit(asked.limit)?);
    while let Some((before, most)) = pager.wants() {
        let begun = state
            .queries()
            .begun(First::SegmentationQueued, before, most)
            .await?;
        let ids: Vec<String> = begun.iter().map(|begun| begun.id.clone()).collect();
        let mut found = look(&state, &ids).await?.into_iter().peekable();
        let rows = begun.iter().map(|begun| {
            let one = found.next_if(|found| found.id == begun.id);
            let passes =
                |one: &Segmentation| status.as_ref().is_none_or(|status| *status == one.status);
            (begun.position(), one.filter(passes))
        });
        pager.take(rows.collect());
    }
    Ok(Json(pager.page()))
}

/// Queues a segmentation training. It begins when a worker, or its cluster, is free.
#[utoipa::path(
    post, path = "/v1/segmentations", tag = "segmentations", operation_id = "queueSegmentation", request_body = Segment,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<Segment>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().segment(command, &caller).await?;
    Ok(answer(&state, accepted, wait, "segmentations", true).await)
}

/// A segmentation training: how far it is, what its network made of held-out images, its SLURM job. It is read from the log, which is never behind.
#[utoipa::path(
    get, path = "/v1/segmentations/{id}", tag = "segmentations", operation_id = "getSegmentation",
    params(("id" = String, Path), AtLeast),
    responses((status = 200, body = Segmentation), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<Segmentation>, Problem> {
    // Checked only: whoever was told a position finds its events in the log.
    at_least.position()?;
    look(&state, std::slice::from_ref(&id))
        .await?
        .pop()
        .map(Json)
        .ok_or_else(|| Problem::not_found("segmentation", &id))
}

/// The settings that a segmentation training has when nothing is said of them.
#[utoipa::path(
    get, path = "/v1/segmentation-settings", tag = "segmentations", operation_id = "getDefaultSegmentationSettings",
    responses((status = 200, body = super::schema::SegmentationSettings), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn defaults() -> Json<SegmentationSettings> {
    Json(SegmentationSettings::default())
}
