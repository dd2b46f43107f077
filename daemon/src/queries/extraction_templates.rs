//! Rows of `mistudio.extraction_templates`.

use super::Listed;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A way to extract features.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct ExtractionTemplate {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Layers of the language model, counted from 0.
    pub layers: Vec<i32>,
    /// `residual`, `mlp`, `attention`.
    pub hook_types: Vec<String>,
    /// Packed sequences to read; null: all.
    pub max_samples: Option<i32>,
    /// Strongest examples that are kept of each feature.
    pub top_k_examples: i32,
    /// Whether it is marked.
    pub is_favorite: bool,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Listed for ExtractionTemplate {
    const NOUNS: &'static str = "extraction templates";
    const PAGE: &'static str = "
        SELECT id, name, description, layers, hook_types, max_samples, top_k_examples, is_favorite, created_at, updated_at
          FROM mistudio.extraction_templates
         WHERE ($1::timestamptz IS NULL OR (created_at, id) < ($1, $2))
           AND ($4::text IS NULL OR is_favorite = ($4 = 'favorite'))
         ORDER BY created_at DESC, id DESC
         LIMIT $3";
    const ONE: &'static str = "
        SELECT id, name, description, layers, hook_types, max_samples, top_k_examples, is_favorite, created_at, updated_at
          FROM mistudio.extraction_templates
         WHERE id = $1
            OR (name = $1 AND NOT EXISTS (SELECT FROM mistudio.extraction_templates WHERE id = $1))
         ORDER BY created_at, id
         LIMIT 5";

    fn id(&self) -> &str {
        &self.id
    }

    fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }
}
