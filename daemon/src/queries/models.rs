//! Rows of `mistudio.models`.

use super::{Cursor, Page, Queries, QueryError, attempt, page};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A language model.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Model {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its family.
    pub architecture: String,
    /// All parameters; 0 until they are counted.
    pub params_count: i64,
    /// `FP32`, `FP16`, `INT8`, `Q8` or `Q4`.
    pub quantization: String,
    /// `downloading`, `loading`, `quantizing`, `ready` or `error`.
    pub status: String,
    /// 0 to 100, of what is being done.
    pub progress: Option<f64>,
    /// What went wrong, and what to do.
    pub error_message: Option<String>,
    /// Where its files are.
    pub file_path: Option<String>,
    /// Where its converted weights are.
    pub quantized_path: Option<String>,
    /// `num_layers`, `hidden_size`, …
    #[schema(value_type = Option<Object>)]
    pub architecture_config: Option<serde_json::Value>,
    /// What a run on it needs in memory.
    pub memory_required_bytes: Option<i64>,
    /// Bytes of its files.
    pub disk_size_bytes: Option<i64>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Queries {
    /// Models, the newest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn models(
        &self,
        status: Option<&str>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Model>, QueryError> {
        let rows: Vec<Model> = sqlx::query_as(
            "SELECT id, name, architecture, params_count, quantization, status, progress, error_message, file_path,
                    quantized_path, architecture_config, memory_required_bytes, disk_size_bytes, created_at, updated_at
               FROM mistudio.models
              WHERE ($1::text IS NULL OR status = $1)
                AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
              ORDER BY created_at DESC, id DESC
              LIMIT $4",
        )
        .bind(status)
        .bind(after.map(|cursor| cursor.created_at))
        .bind(after.map(|cursor| cursor.id.as_str()))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.pool)
        .await
        .map_err(attempt("the models"))?;
        Ok(page(rows, limit, |row| {
            Cursor::new(row.created_at, row.id.clone()).to_string()
        }))
    }

    /// The model of an id, or the models of a name.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn model(&self, given: &str) -> Result<Vec<Model>, QueryError> {
        sqlx::query_as(
            "SELECT id, name, architecture, params_count, quantization, status, progress, error_message, file_path,
                    quantized_path, architecture_config, memory_required_bytes, disk_size_bytes, created_at, updated_at
               FROM mistudio.models
              WHERE id = $1
                 OR (name = $1 AND NOT EXISTS (SELECT FROM mistudio.models WHERE id = $1))
              ORDER BY created_at, id
              LIMIT 5",
        )
        .bind(given)
        .fetch_all(&self.pool)
        .await
        .map_err(attempt(format!("model {given}")))
    }
}
