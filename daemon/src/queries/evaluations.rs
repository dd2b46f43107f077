//! What a training's autoencoders were worth on held-out tokens, read from its stream.

use super::{Queries, QueryError, attempt};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use trainmaster_domain::run::journal::EvaluatedSite;
use utoipa::ToSchema;

/// How many evaluations are shown.
const SHOWN: i64 = 10;

/// An evaluation at a checkpoint.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Evaluation {
    /// Steps that were done.
    pub step: i64,
    /// One for each place that is trained.
    #[schema(value_type = Vec<crate::http::schema::EvaluatedSite>)]
    pub sites: Json<Vec<EvaluatedSite>>,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

impl Queries {
    /// The latest evaluations of a training, the newest first.
    pub(super) async fn evaluations(&self, id: &str) -> Result<Vec<Evaluation>, QueryError> {
        sqlx::query_as(include_str!("evaluations/latest.sql"))
            .bind(id)
            .bind(SHOWN)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!("the evaluations of training {id}")))
    }
}
