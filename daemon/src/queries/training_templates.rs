//! Rows of `mistudio.training_templates`.

use super::Listed;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A way to train.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct TrainingTemplate {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The model that it is tuned for; null: any.
    pub model_id: Option<String>,
    /// The dataset that it is tuned for; null: any.
    pub dataset_id: Option<String>,
    /// `sparse`, `skip` or `transcoder`.
    pub encoder_type: String,
    /// How: all of them.
    #[schema(value_type = crate::http::schema::Hyperparameters)]
    pub hyperparameters: serde_json::Value,
    /// Whether it is marked.
    pub is_favorite: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Listed for TrainingTemplate {
    const NOUNS: &'static str = "training templates";
    const PAGE: &'static str = "
        SELECT id, name, description, model_id, dataset_id, encoder_type, hyperparameters, is_favorite, created_at, updated_at
          FROM mistudio.training_templates
         WHERE ($1::timestamptz IS NULL OR (created_at, id) < ($1, $2))
           AND ($4::text IS NULL OR is_favorite = ($4 = 'favorite'))
         ORDER BY created_at DESC, id DESC
         LIMIT $3";
    const ONE: &'static str = "
        SELECT id, name, description, model_id, dataset_id, encoder_type, hyperparameters, is_favorite, created_at, updated_at
          FROM mistudio.training_templates
         WHERE id = $1
            OR (name = $1 AND NOT EXISTS (SELECT FROM mistudio.training_templates WHERE id = $1))
         ORDER BY created_at, id
         LIMIT 5";

    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }
}
