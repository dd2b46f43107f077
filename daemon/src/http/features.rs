//! `/v1/trainings/{id}/features` and `/v1/features/{id}`.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, Parameters, Segment, invalid_query},
    schema::{limit, optional_position},
};
use crate::{
    commands::{Caller, EditFeature},
    queries::{
        Feature, FeatureCursor, FeatureDetail, FeatureFilter, FeatureOrder, FeatureSort, Hidden,
        MOST_EXAMPLES, Page,
    },
};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use utoipa::IntoParams;

/// The longest words to search for, in characters.
const MOST_SEARCHED: usize = 1_000;

/// Which features, in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// `activation_frequency`, `interpretability_score`, `neuron_index` or `max_activation_value`, else the first. What has none comes last.
    sort: Option<String>,
    /// `asc` or `desc`, else `desc`; `asc` for `neuron_index`.
    order: Option<String>,
    /// Only those of this layer.
    layer: Option<i32>,
    /// Only favourites, or only the others.
    favorite: Option<bool>,
    /// `true`: only hidden ones; `any`: these too; else they are left out.
    hidden: Option<String>,
    /// Only those at least so frequent.
    min_frequency: Option<f64>,
    /// Only those at most so frequent.
    max_frequency: Option<f64>,
    /// Only those whose name or description has all these words, in any form.
    search: Option<String>,
    /// Where the last page ended: its `next`.
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

impl Asked {
    fn filter(&self) -> Result<FeatureFilter, Problem> {
        let sort = match &self.sort {
            None => FeatureSort::default(),
            Some(sort) => sort.parse().map_err(|_| {
                let known = FeatureSort::ALL.map(FeatureSort::as_str).join(", ");
                invalid_query(format!("sort must be one of {known}"))
            })?,
        };
        let order = match (self.order.as_deref(), sort) {
            (None, FeatureSort::NeuronIndex) => FeatureOrder::Asc,
            (None, _) => FeatureOrder::Desc,
            (Some(order), _) => order
                .parse()
                .map_err(|_| invalid_query("order must be asc or desc"))?,
        };
        let hidden = match &self.hidden {
            None => Hidden::No,
            Some(hidden) => hidden
                .parse()
                .map_err(|_| invalid_query("hidden must be false, true or any"))?,
        };
        for frequency in [self.min_frequency, self.max_frequency]
            .into_iter()
            .flatten()
        {
            if !frequency.is_finite() {
                return Err(invalid_query("a frequency must be 0 to 1"));
            }
        }
        if let Some(search) = &self.search
            && (search.contains('\0') || search.chars().count() > MOST_SEARCHED)
        {
            return Err(invalid_query(format!(
                "search must be at most {MOST_SEARCHED} characters, and none of them NUL"
            )));
        }
        Ok(FeatureFilter {
            sort,
            order,
            layer: self.layer,
            favorite: self.favorite,
            hidden,
            min_frequency: self.min_frequency,
            max_frequency: self.max_frequency,
            search: self.search.clone().filter(|words| !words.trim().is_empty()),
        })
    }
}

/// Features of a training, sorted, filtered and searched.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/features", tag = "features", operation_id = "listFeatures",
    params(("id" = String, Path), Asked),
    responses((status = 200, body = Page<Feature>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<Feature>>, Problem> {
    let filter = asked.filter()?;
    let limit = limit(asked.limit)?;
    let after: Option<FeatureCursor> = asked
        .after
        .map(|text| text.parse())
        .transpose()
        .map_err(invalid_query)?;
    if after.as_ref().is_some_and(|after| !after.is_of(&filter)) {
        return Err(invalid_query(
            "after: it is of a page that was sorted otherwise; give the same sort and order with it",
        ));
    }
    state
        .show_at_least(optional_position(asked.at_least)?)
        .await?;
    let page = state
        .queries()
        .features(&id, &filter, after.as_ref(), limit)
        .await?;
    if page.items.is_empty() && !state.queries().has_training(&id).await? {
        return Err(Problem::no_training(&id));
    }
    Ok(Json(page))
}

/// How much of a feature.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Detail {
    /// Its strongest examples, 0 to 1000, else 10.
    #[param(minimum = 0, maximum = 1_000)]
    examples: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

/// A feature and its strongest examples.
#[utoipa::path(
    get, path = "/v1/features/{id}", tag = "features", operation_id = "getFeature",
    params(("id" = i64, Path), Detail),
    responses((status = 200, body = FeatureDetail), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Segment(id): Segment,
    Parameters(asked): Parameters<Detail>,
) -> Result<Json<FeatureDetail>, Problem> {
    let number = number(&id)?;
    let examples = asked.examples.unwrap_or(10);
    if examples > MOST_EXAMPLES {
        return Err(invalid_query(format!(
            "examples must be 0 to {MOST_EXAMPLES}"
        )));
    }
    state
        .show_at_least(optional_position(asked.at_least)?)
        .await?;
    state
        .queries()
        .feature(number, examples)
        .await?
        .map(Json)
        .ok_or_else(|| no_such_feature(number))
}

/// Names, describes or marks a feature. What is not named in the body stays as it is.
#[utoipa::path(
    patch, path = "/v1/features/{id}", tag = "features", operation_id = "editFeature", request_body = EditFeature,
    params(Wait, ("id" = i64, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn edit(
    State(state): State<AppState>,
    caller: Caller,
    Segment(id): Segment,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<EditFeature>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let number = number(&id)?;
    let accepted = state
        .commands()
        .edit_feature(number, command, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, "features", false).await)
}

fn number(id: &str) -> Result<i64, Problem> {
    id.parse().ok().filter(|id| *id >= 0).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_id",
            "the id of a feature is a whole number; GET /v1/trainings/{id}/features lists what there is",
        )
    })
}

fn no_such_feature(id: i64) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "feature_not_found",
        format!("there is no feature {id}; GET /v1/trainings/{{id}}/features lists what there is"),
    )
}
