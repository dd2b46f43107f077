//! `/openapi.json`: what there is, made from the code.

use super::Problem;
use axum::{Json, http::StatusCode};
use std::sync::OnceLock;
use utoipa::openapi::{
    Components, InfoBuilder, OpenApi,
    security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};

/// The OpenAPI document of the interface.
#[must_use]
pub fn document() -> OpenApi {
    let (_, mut document) = super::routes().split_for_parts();
    document.info = InfoBuilder::new()
        .title("trainmaster")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Trainings of sparse autoencoders, driven from an append-only log. On the Unix socket no token is needed; over \
             TCP every route but /health/* asks for the bearer token. Every failure is a problem document (RFC 9457) with \
             a stable `code`. A command answers when it is accepted and, as a rule, when reads show it.",
        ))
        .build();
    document
        .components
        .get_or_insert_with(Components::new)
        .add_security_scheme(
            "token",
            SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
        );
    document.security = Some(vec![
        SecurityRequirement::default(),
        SecurityRequirement::new("token", Vec::<String>::new()),
    ]);
    document
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "interface", operation_id = "getOpenApi",
    responses((status = 200, body = Object), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn serve() -> Result<Json<serde_json::Value>, Problem> {
    static DOCUMENT: OnceLock<Option<serde_json::Value>> = OnceLock::new();
    DOCUMENT
        .get_or_init(|| serde_json::to_value(document()).ok())
        .clone()
        .map(Json)
        .ok_or_else(|| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the document could not be written",
            )
        })
}
