//! The bearer token that TCP asks for.

use super::{Problem, Token};
use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Lets a request with the token pass. Health is open: whoever watches over a machine needs no secret for it.
pub(super) async fn ask(State(token): State<Token>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    if request.uri().path().starts_with("/health/") || given.is_some_and(|given| token.is(given)) {
        return next.run(request).await;
    }
    let detail = if given.is_some() {
        "the bearer token is not the configured one (http.token)"
    } else {
        "a bearer token is needed over TCP: send `Authorization: Bearer <http.token>`, or use the Unix socket"
    };
    let mut response =
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).into_response();
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"trainmaster\""),
    );
    response
}
