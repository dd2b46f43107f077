//! What a request says about itself: who asks, which trace it is part of, which name it has for itself.

use super::{AppState, Problem};
use crate::{
    commands::{Caller, IdempotencyKey},
    telemetry,
};
use axum::{
    extract::{FromRequestParts, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use std::time::Instant;
use tracing::Instrument;
use ulid::Ulid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the command line calls itself in `User-Agent`.
pub(crate) const CLI_AGENT: &str = concat!("trainmaster-cli/", env!("CARGO_PKG_VERSION"));

/// A name for the request that its answer and its events carry: the client's, or a fresh one.
#[derive(Clone)]
struct RequestId(String);

fn request_id(headers: &HeaderMap) -> String {
    let given = headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match given {
        Some(text)
            if (1..=128).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()) =>
        {
            text.to_owned()
        }
        _ => Ulid::generate().to_string().to_ascii_lowercase(),
    }
}

/// A span a request, part of the client's trace where it names one.
pub(super) async fn span(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("(none)", MatchedPath::as_str)
        .to_owned();
    let span = tracing::info_span!(
        "http_request",
        otel.name = format!("{} {route}", request.method()),
        otel.kind = "server",
        http.request.method = %request.method(),
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        request_id = id,
    );
    if let Some(traceparent) = text(request.headers(), &TRACEPARENT) {
        telemetry::set_parent(&span, traceparent);
    }
    request.extensions_mut().insert(RequestId(id.clone()));
    async move {
        let begin = Instant::now();
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        tracing::Span::current().record("http.response.status_code", status);
        tracing::debug!(status, elapsed_ms = begin.elapsed().as_millis(), "answered");
        if let Ok(value) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        response
    }
    .instrument(span)
    .await
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let idempotency_key = match parts.headers.get(&IDEMPOTENCY_KEY) {
            None => None,
            Some(value) => Some(
                value
                    .to_str()
                    .unwrap_or_default()
                    .parse::<IdempotencyKey>()
                    .map_err(|error| {
                        Problem::new(
                            StatusCode::BAD_REQUEST,
                            "invalid_idempotency_key",
                            error.to_string(),
                        )
                    })?,
            ),
        };
        let by_cli = text(&parts.headers, &header::USER_AGENT)
            .is_some_and(|agent| agent.starts_with("trainmaster-cli/"));
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map_or_else(|| request_id(&parts.headers), |id| id.0.clone());
        Ok(Self {
            actor: if by_cli { "cli" } else { "http" }.to_owned(),
            request_id,
            traceparent: telemetry::traceparent().or_else(|| {
                text(&parts.headers, &TRACEPARENT)
                    .filter(|given| is_traceparent(given))
                    .map(str::to_owned)
            }),
            unique: Ulid::generate(),
            idempotency_key,
        })
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, as W3C Trace Context has it: neither id may be zero.
fn is_traceparent(text: &str) -> bool {
    let is_hex = |part: &str, length: usize| {
        part.len() == length
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let parts: Vec<&str> = text.split('-').collect();
    match parts.as_slice() {
        ["00", trace, span, flags] => {
            is_hex(trace, 32)
                && is_hex(span, 16)
                && is_hex(flags, 2)
                && trace.bytes().any(|b| b != b'0')
                && span.bytes().any(|b| b != b'0')
        }
        _ => false,
    }
}
