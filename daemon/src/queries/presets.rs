//! Rows of `mistudio.steering_presets`.

use super::Listed;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A way to steer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Preset {
    /// Its id.
    pub id: String,
    /// The training whose features steer.
    pub training_id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// `{"feature_id": …, "coefficient": …}` each.
    #[schema(value_type = Vec<Object>)]
    pub features: serde_json::Value,
    /// The layer at which the residual stream is changed.
    pub intervention_layer: i32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Listed for Preset {
    const NOUNS: &'static str = "presets";
    const PAGE: &'static str = "
        SELECT id, training_id, name, description, features, intervention_layer, created_at, updated_at
          FROM mistudio.steering_presets
         WHERE ($1::timestamptz IS NULL OR (created_at, id) < ($1, $2))
           AND ($4::text IS NULL OR training_id = $4)
         ORDER BY created_at DESC, id DESC
         LIMIT $3";
    const ONE: &'static str = "
        SELECT id, training_id, name, description, features, intervention_layer, created_at, updated_at
          FROM mistudio.steering_presets
         WHERE id = $1
            OR (name = $1 AND NOT EXISTS (SELECT FROM mistudio.steering_presets WHERE id = $1))
         ORDER BY created_at, id
         LIMIT 5";

    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }
}
