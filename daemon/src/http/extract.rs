//! Bodies, paths and queries, whose faults are problem documents like any other.

use super::{AppState, Problem};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Query, Request, rejection::BytesRejection},
    http::{StatusCode, header, request::Parts},
};
use serde::de::DeserializeOwned;
use trainmaster_domain::id::TrainingId;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<AppState> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let is_json = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type_not_supported",
                "the body must be JSON; say so with `Content-Type: application/json`",
            ));
        }
        let bytes = receive(request, state).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let (status, code) = if error.is_data() {
                (StatusCode::UNPROCESSABLE_ENTITY, "invalid_body")
            } else {
                (StatusCode::BAD_REQUEST, "malformed_json")
            };
            Problem::new(
                status,
                code,
                format!(
                    "the body cannot be read: {error}; GET /openapi.json says what it may hold"
                ),
            )
        })
    }
}

/// No body, or one that says nothing: commands that are all in their path.
pub(super) struct NoBody;

impl FromRequest<AppState> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let bytes = receive(request, state).await?;
        let nothing = bytes.iter().all(u8::is_ascii_whitespace)
            || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes)
                .is_ok_and(|map| map.is_empty());
        if nothing {
            Ok(Self)
        } else {
            Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid_body",
                "this command takes no body; leave it out",
            ))
        }
    }
}

async fn receive(request: Request, state: &AppState) -> Result<Bytes, Problem> {
    let limit = state.options().max_body_bytes;
    let received = tokio::time::timeout(
        state.options().receive_timeout,
        Bytes::from_request(request, state),
    )
    .await
    .map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "the body did not arrive in time; send the request again",
        )
    })?;
    received.map_err(|rejection| match rejection {
        BytesRejection::FailedToBufferBody(ref fault)
            if fault.status() == StatusCode::PAYLOAD_TOO_LARGE =>
        {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                format!("the body may have at most {limit} bytes"),
            )
        }
        other => Problem::new(
            StatusCode::BAD_REQUEST,
            "body_incomplete",
            format!("the body could not be received ({other}); send the request again"),
        ),
    })
}

/// A query of known names.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(query)| Self(query))
            .map_err(|rejection| invalid_query(rejection.body_text()))
    }
}

/// A query that cannot be.
pub(super) fn invalid_query(problem: impl std::fmt::Display) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid_query",
        format!("{problem}; GET /openapi.json says what may be asked"),
    )
}

/// The one parameter in a path, as text.
pub(super) struct Segment(pub(super) String);

impl FromRequestParts<AppState> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        axum::extract::Path::<String>::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(text)| Self(text))
            .map_err(|rejection| {
                Problem::new(StatusCode::BAD_REQUEST, "invalid_id", rejection.body_text())
            })
    }
}

/// The id in a path: any text that can be an id.
pub(super) struct Id(pub(super) String);

impl FromRequestParts<AppState> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let Segment(text) = Segment::from_request_parts(parts, state).await?;
        // All ids are of one alphabet.
        TrainingId::new(text)
            .map(|id| Self(id.into()))
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "invalid_id", error.to_string()))
    }
}
