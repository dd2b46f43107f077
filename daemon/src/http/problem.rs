//! Problem documents (RFC 9457): what went wrong, under a stable `code`, and what to do next.

use crate::{
    archive::ArchiveError,
    commands::{CommandError, ErrorKind},
    log::LogError,
    queries::QueryError,
};
use axum::{
    Json,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use trainmaster_domain::id::TrainingId;
use utoipa::ToSchema;

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// `urn:trainmaster:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in a few words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Stable, snake_case, for programs.
    pub code: String,
    /// What went wrong this time, and what to do next.
    pub detail: String,
    /// The status of what a command was refused by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    /// After so many seconds it may be better.
    #[serde(skip)]
    #[schema(ignore)]
    pub(super) retry_after: Option<u32>,
}

impl Problem {
    /// A problem of a kind.
    #[must_use]
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:trainmaster:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: detail.into(),
            state: None,
            retry_after: None,
        }
    }

    /// It may be better after so many seconds.
    #[must_use]
    pub(super) const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What the request is about is not there.
    pub(super) fn not_found(what: &str, given: &str) -> Self {
        let given: String = given.chars().take(100).collect();
        Self::new(
            StatusCode::NOT_FOUND,
            &format!("{what}_not_found"),
            format!(
                "there is no {} {given:?}; GET /v1/{}s lists what there is",
                what.replace('_', " "),
                what.replace('_', "-")
            ),
        )
    }

    /// There is no such training, or none that the tables of autoencoders know.
    pub(super) fn no_training(id: &str) -> Self {
        if TrainingId::is_segmentation(id) {
            let detail =
                format!("training {id} segments images: GET /v1/segmentations/{id} shows it");
            return Self::new(StatusCode::NOT_FOUND, "training_of_images", detail);
        }
        Self::not_found("training", id)
    }

    /// The daemon ends before it could answer.
    pub(super) fn shutting_down() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting_down",
            "the daemon is shutting down; ask again when it is back",
        )
        .retry_after(2)
    }

    /// Not the client's fault. What exactly is for the log; the client learns what helps it.
    pub(super) fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        if is_missing_table(error) {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "read_model_not_built",
                "the read model is still being built from the log; ask again, and look at `trainmaster projections status` if it stays so",
            )
            .retry_after(1);
        }
        if is_unavailable(error) {
            tracing::warn!(error = %chain(error), "the database is not available");
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_unavailable",
                "the database cannot be reached; nothing is lost: ask again, and look at `trainmaster doctor` if it stays so",
            )
            .retry_after(2);
        }
        tracing::error!(error = %chain(error), "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("{error}; the daemon's log says more"),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Gone => StatusCode::GONE,
            ErrorKind::Refused => StatusCode::CONFLICT,
            ErrorKind::Unavailable => {
                return Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    error.code(),
                    error.to_string(),
                )
                .retry_after(2);
            }
            ErrorKind::Internal => return Self::internal(&error),
        };
        let mut problem = Self::new(status, error.code(), error.to_string());
        problem.state = error.status();
        problem
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::internal(&error)
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Archive(error) => error.into(),
            other => Self::internal(&other),
        }
    }
}

impl From<ArchiveError> for Problem {
    fn from(error: ArchiveError) -> Self {
        if matches!(error, ArchiveError::Database { .. }) {
            return Self::internal(&error);
        }
        tracing::error!(%error, "the archive of the log");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "archive_failed",
            chain(&error),
        )
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::internal(&error)
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

/// The error of the database somewhere below an error.
fn database_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a sqlx::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// Whether the database is away and may come back.
fn is_unavailable(error: &(dyn std::error::Error + 'static)) -> bool {
    match database_error(error) {
        Some(
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed,
        ) => true,
        // Connection exceptions, insufficient resources, operator intervention (a shutdown).
        Some(sqlx::Error::Database(error)) => error.code().is_some_and(|code| {
            ["08", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}

/// Whether a table or its schema is not there.
fn is_missing_table(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(database_error(error), Some(sqlx::Error::Database(error))
        if error.code().is_some_and(|code| code == "42P01" || code == "3F000"))
}

pub(super) async fn no_such_route(uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    Problem::new(
        StatusCode::NOT_FOUND,
        "route_not_found",
        format!("there is nothing at {path}; GET /openapi.json lists what there is"),
    )
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let path: String = uri.path().chars().take(200).collect();
    let method: String = method.as_str().chars().take(20).collect();
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{path} does not know {method}; the header Allow says what it knows"),
    )
}
