//! `/v1/trainings/{id}/metrics`.

use super::{
    AppState, Problem,
    extract::{Id, Parameters, invalid_query},
};
use crate::queries::{Metric, MetricsRange};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Which recorded steps.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// The first step; else the first that was recorded.
    #[param(minimum = 0)]
    from: Option<i32>,
    /// The last step; else the last that was recorded.
    #[param(minimum = 0)]
    to: Option<i32>,
    /// At most so many rows, 1 to 10000, else 1000: of more steps, the last of each of as many equal parts.
    #[param(minimum = 1, maximum = 10_000)]
    points: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

/// Recorded steps, in order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Metrics {
    items: Vec<Metric>,
}

/// Recorded steps of a training, thinned for a chart. Each row is as it was recorded, never an average.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/metrics", tag = "trainings", operation_id = "getTrainingMetrics",
    params(("id" = String, Path), Asked),
    responses((status = 200, body = Metrics), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Metrics>, Problem> {
    let range = MetricsRange {
        from_step: asked.from.unwrap_or(0),
        to_step: asked.to.unwrap_or(i32::MAX),
        points: asked.points.unwrap_or(1_000),
    };
    if range.from_step < 0 || range.to_step < range.from_step {
        return Err(invalid_query(
            "from must be 0 or more, and to at least from",
        ));
    }
    if !(1..=10_000).contains(&range.points) {
        return Err(invalid_query("points must be 1 to 10000"));
    }
    let at_least = super::schema::optional_position(asked.at_least)?;
    state.show_at_least(at_least).await?;
    let items = state.queries().metrics(&id, range).await?;
    if items.is_empty() && !state.queries().has_training(&id).await? {
        return Err(Problem::no_training(&id));
    }
    Ok(Json(Metrics { items }))
}
