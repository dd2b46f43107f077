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

/// A language model, and what converting its weights cost.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct ModelDetail {
    /// Its row.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub model: Model,
    /// Where its weights were converted: the loss of a token of real text (mean negative log-likelihood, in nats; its exponential is
    /// the perplexity), before and after.
    #[schema(value_type = Option<Conversion>)]
    #[sqlx(json(nullable))]
    pub conversion: Option<Conversion>,
}

/// What converting a model's weights cost.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Conversion {
    /// Of the weights as they came.
    pub loss_before: f64,
    /// Of the converted weights.
    pub loss_after: f64,
    /// Of the weights as they came.
    pub perplexity_before: f64,
    /// Of the converted weights.
    pub perplexity_after: f64,
    /// Which text.
    pub evaluated_on: String,
    /// Tokens whose likelihood was asked for.
    pub tokens: i64,
}

impl Queries {
    /// Models, the newest first: all, or those that a search finds by the words of their
    /// name and architecture.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn models(
        &self,
        search: Option<&str>,
        status: Option<&str>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Model>, QueryError> {
        let query = match search {
            Some(words) => sqlx::query_as(include_str!("models/search.sql")).bind(words),
            None => sqlx::query_as(include_str!("models/list.sql")),
        };
        let rows: Vec<Model> = query
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
    pub async fn model(&self, given: &str) -> Result<Vec<ModelDetail>, QueryError> {
        sqlx::query_as(include_str!("models/one.sql"))
            .bind(given)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!("model {given}")))
    }
}
