//! `/v1/events`: the log, a page at a time.

use super::{
    AppState, Problem,
    extract::{Parameters, invalid_query},
    schema::limit,
};
use crate::log::LogError;
use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{Category, Metadata, Position, RecordedEvent, StreamId};
use utoipa::{IntoParams, ToSchema};

/// An event of the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Event {
    /// Where in the log: give it as `after` to go on behind it.
    #[schema(example = "812-33")]
    pub(super) position: String,
    /// `dataset`, `model` or `training`.
    category: &'static str,
    /// The dataset, model or training.
    stream: String,
    /// 1, 2, 3… within the stream.
    version: u64,
    /// What happened.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// The particulars.
    #[schema(value_type = Object)]
    payload: serde_json::Value,
    /// When, by the database's clock.
    recorded_at: DateTime<Utc>,
    /// Who caused it.
    #[schema(value_type = Object)]
    metadata: Metadata,
}

impl TryFrom<RecordedEvent> for Event {
    type Error = Problem;

    fn try_from(recorded: RecordedEvent) -> Result<Self, Problem> {
        Ok(Self {
            position: recorded.position.to_string(),
            category: recorded.stream.category.as_str(),
            stream: recorded.stream.id,
            version: recorded.version,
            kind: recorded.event.event_type(),
            payload: recorded
                .event
                .payload()
                .map_err(|error| Problem::internal(&error))?,
            recorded_at: recorded.recorded_at,
            metadata: recorded.metadata,
        })
    }
}

/// Which events.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    category: Option<Category>,
    stream: Option<String>,
    kind: Option<String>,
}

impl Filter {
    /// Filters as a query names them.
    pub(super) fn new(
        category: Option<String>,
        stream: Option<String>,
        kind: Option<String>,
    ) -> Result<Self, Problem> {
        if kind
            .as_ref()
            .is_some_and(|kind| !kind.chars().all(|c| c.is_ascii_alphanumeric()))
        {
            return Err(invalid_query(
                "type must be the name of an event, such as CheckpointSaved",
            ));
        }
        Ok(Self {
            category: category
                .map(|text| text.parse())
                .transpose()
                .map_err(invalid_query)?,
            stream: super::schema::optional_id(stream)?,
            kind,
        })
    }

    pub(super) fn passes(&self, recorded: &RecordedEvent) -> bool {
        self.category
            .is_none_or(|category| category == recorded.stream.category)
            && self
                .stream
                .as_ref()
                .is_none_or(|stream| *stream == recorded.stream.id)
            && self
                .kind
                .as_ref()
                .is_none_or(|kind| kind == recorded.event.event_type())
    }

    async fn before_last(&self, state: &AppState, count: u32) -> Result<Position, Problem> {
        let category = self.category.map(Category::as_str);
        Ok(state
            .log()
            .before_last(
                count,
                category,
                self.stream.as_deref(),
                self.kind.as_deref(),
            )
            .await?)
    }

    fn is_open(&self) -> bool {
        self.category.is_none() && self.stream.is_none() && self.kind.is_none()
    }
}

/// Which events, as a query says it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only those of `dataset`, `model` or `training` streams.
    category: Option<String>,
    /// Only those of this dataset, model or training.
    stream: Option<String>,
    /// Only those of this type, such as `CheckpointSaved`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Only those behind this position; else from the beginning.
    #[param(example = "812-33")]
    after: Option<String>,
    /// Events of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Only the newest, 1 to 500 of them; not together with `after` and `limit`.
    #[param(minimum = 1, maximum = 500)]
    last: Option<u32>,
}

/// Events of the log in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Events {
    items: Vec<Event>,
    /// Give it as `after` to go on, now or when more has happened.
    next: String,
    /// Whether there may be more now.
    more: bool,
}

/// What is read at once while looking for events that a filter lets pass.
const PAGE: usize = 500;
/// What is looked at for one answer.
const MOST_LOOKED_AT: usize = 20_000;

/// Events of the log, in the order in which every reader sees them.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "listEvents", params(Asked),
    responses((status = 200, body = Events), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Events>, Problem> {
    if asked.last.is_some() && (asked.after.is_some() || asked.limit.is_some()) {
        return Err(invalid_query(
            "last cannot be asked for together with after or limit",
        ));
    }
    let limit = limit(asked.last.or(asked.limit))?;
    let filter = Filter::new(asked.category, asked.stream, asked.kind)?;
    let mut at = match asked.last {
        Some(count) => filter.before_last(&state, count).await?,
        None => position(asked.after)?.unwrap_or(Position::START),
    };
    let limit = limit as usize;
    if let (Some(category), Some(stream)) = (filter.category, filter.stream.clone()) {
        return of_stream(&state, StreamId::new(category, stream), at, limit, &filter).await;
    }
    let mut items = Vec::new();
    let mut looked_at = 0;
    let mut more = true;
    while items.len() < limit && looked_at < MOST_LOOKED_AT {
        let size = if filter.is_open() { limit } else { PAGE };
        let page = state.log().read(at, size).await?;
        looked_at += page.len();
        more = page.len() == size;
        for recorded in page {
            if items.len() == limit {
                more = true;
                break;
            }
            at = recorded.position;
            if filter.passes(&recorded) {
                items.push(Event::try_from(recorded)?);
            }
        }
        if !more {
            break;
        }
    }
    Ok(Json(Events {
        items,
        next: at.to_string(),
        more,
    }))
}

/// One stream has an index of its own: what others did need not be looked at.
async fn of_stream(
    state: &AppState,
    stream: StreamId,
    after: Position,
    limit: usize,
    filter: &Filter,
) -> Result<Json<Events>, Problem> {
    let mut items = Vec::new();
    let mut at = after;
    let mut version = 0;
    let mut more = true;
    while more && items.len() < limit {
        let page = state.log().read_stream(&stream, version, PAGE).await?;
        more = page.len() == PAGE;
        for recorded in page {
            version = recorded.version;
            if recorded.position <= after {
                continue;
            }
            if items.len() == limit {
                more = true;
                break;
            }
            at = recorded.position;
            if filter.passes(&recorded) {
                items.push(Event::try_from(recorded)?);
            }
        }
    }
    Ok(Json(Events {
        items,
        next: at.to_string(),
        more,
    }))
}

/// A position in a query.
pub(super) fn position(text: Option<String>) -> Result<Option<Position>, Problem> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error| invalid_query(format!("after: {error}")))
}

/// The events behind `at`, and where the last of them stands.
pub(super) async fn behind(
    state: &AppState,
    at: Position,
    filter: &Filter,
) -> Result<(Vec<RecordedEvent>, Position, bool), LogError> {
    let mut page = state.log().read(at, PAGE).await?;
    let full = page.len() == PAGE;
    let end = page.last().map_or(at, |recorded| recorded.position);
    page.retain(|recorded| filter.passes(recorded));
    Ok((page, end, full))
}
