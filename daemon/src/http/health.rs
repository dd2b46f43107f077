//! Whether the daemon lives, is ready, and reaches its database.

use super::AppState;
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

/// A database that does not answer for so long is not healthy.
const PATIENCE: Duration = Duration::from_secs(3);

/// One word.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// `live`, `ready` or `not ready`.
    status: &'static str,
}

/// The process answers.
#[utoipa::path(get, path = "/health/live", tag = "health", operation_id = "healthLive", responses((status = 200, body = Status)))]
pub(super) async fn live() -> Json<Status> {
    Json(Status { status: "live" })
}

/// Commands and reads can be answered: the database does, the read models are there, and the daemon is not shutting down.
#[utoipa::path(
    get, path = "/health/ready", tag = "health", operation_id = "healthReady",
    responses((status = 200, body = Status), (status = 503, body = Status))
)]
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let ready = !state.shutdown().is_cancelled() && has_read_models(&state).await;
    if ready {
        Json(Status { status: "ready" }).into_response()
    } else {
        let body = Json(Status {
            status: "not ready",
        });
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    }
}

/// The database as its document wants it told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DatabaseHealth {
    /// `healthy` or `unhealthy`.
    status: &'static str,
    /// Its connections.
    database: Connections,
}

/// Connections of the pool.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Connections {
    /// Whether a query was answered just now.
    connected: bool,
    /// The most that there may be.
    pool_size: u32,
    /// In use, this question's own included.
    active_connections: u32,
    /// Those that may still be used.
    available_connections: u32,
}

/// The database and its pool of connections.
#[utoipa::path(
    get, path = "/health/db", tag = "health", operation_id = "healthDatabase",
    responses((status = 200, body = DatabaseHealth), (status = 500, body = DatabaseHealth))
)]
pub(super) async fn database(State(state): State<AppState>) -> Response {
    let active = probe(&state).await;
    let pool_size = state.pool().options().get_max_connections();
    let active_connections = active.unwrap_or_else(|| in_use(&state));
    let body = Json(DatabaseHealth {
        status: if active.is_some() {
            "healthy"
        } else {
            "unhealthy"
        },
        database: Connections {
            connected: active.is_some(),
            pool_size,
            active_connections,
            available_connections: pool_size.saturating_sub(active_connections),
        },
    });
    if active.is_some() {
        body.into_response()
    } else {
        (StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
    }
}

async fn has_read_models(state: &AppState) -> bool {
    let tables: Vec<String> = state
        .projector()
        .read_models()
        .flat_map(|read_model| {
            let tables = read_model.tables().iter();
            tables.map(move |table| format!("{read_model}.{table}"))
        })
        .collect();
    let asked = sqlx::query_scalar(
        "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest($1::text[]) AS name",
    )
    .bind(tables)
    .fetch_one(state.pool());
    matches!(tokio::time::timeout(PATIENCE, asked).await, Ok(Ok(true)))
}

/// Asks the database something; the connections in use while it answered.
async fn probe(state: &AppState) -> Option<u32> {
    let asked = async {
        let mut connection = state.pool().acquire().await?;
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        Ok::<_, sqlx::Error>(in_use(state))
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()
}

fn in_use(state: &AppState) -> u32 {
    let idle = u32::try_from(state.pool().num_idle()).unwrap_or(u32::MAX);
    state.pool().size().saturating_sub(idle)
}
