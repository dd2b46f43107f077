//! `/v1/log/head`: how far the log has got, signed.

use super::{AppState, Problem};
use crate::log::{Head, HeadKey};
use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// How far the log has got.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedHead {
    /// The whole of it in one line: what `log verify --head` takes.
    line: String,
    /// The last event that it speaks of.
    #[schema(example = "812-33")]
    position: String,
    /// Events up to and with it.
    events: u64,
    /// Streams that they form.
    streams: u64,
    /// SHA-256, as hex, over category, id, version and hash of each stream.
    digest: String,
    /// When it was made, by the database's clock.
    at: DateTime<Utc>,
    /// The Ed25519 key that signed it, as hex.
    public_key: String,
    /// Its signature, as hex.
    signature: String,
}

impl From<Head> for SignedHead {
    fn from(head: Head) -> Self {
        Self {
            line: head.to_string(),
            position: head.position.to_string(),
            events: head.events,
            streams: head.streams,
            digest: head.digest_hex(),
            at: head.at,
            public_key: head.public_key(),
            signature: head.signature_hex(),
        }
    }
}

/// How far the log has got, signed by the state directory's key, which is made when there is none.
#[utoipa::path(
    get, path = "/v1/log/head", tag = "log", operation_id = "getLogHead",
    responses((status = 200, body = SignedHead), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(State(state): State<AppState>) -> Result<Json<SignedHead>, Problem> {
    let Some(path) = state.options().head_key.clone() else {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "no_head_key",
            "this daemon has no key to sign with",
        ));
    };
    let key = tokio::task::spawn_blocking(move || HeadKey::load_or_make(&path))
        .await
        .map_err(|panic| Problem::internal(&panic))?
        .map_err(|error| {
            tracing::error!(%error, "the log's head cannot be signed");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "head_key_unusable",
                error.to_string(),
            )
        })?;
    Ok(Json(state.log().sign_head(&key).await?.into()))
}
