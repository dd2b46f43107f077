//! Rows of `mistudio.datasets`.

use super::{Cursor, Page, Queries, QueryError, attempt, page};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A dataset.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Dataset {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `HuggingFace`, `Local` or `Custom`.
    pub source: String,
    /// What it is.
    pub description: Option<String>,
    /// Bytes of its source files.
    pub size_bytes: i64,
    /// `downloading`, `ingesting`, `tokenizing`, `ready` or `error`.
    pub status: String,
    /// 0 to 100, of what is being done.
    pub progress: Option<f64>,
    /// What went wrong, and what to do.
    pub error_message: Option<String>,
    /// Where its text is.
    pub file_path: Option<String>,
    /// Where its packed sequences are.
    pub tokenized_path: Option<String>,
    /// Documents.
    pub num_samples: Option<i32>,
    /// Tokens.
    pub num_tokens: Option<i64>,
    /// Entries of the tokenizer's vocabulary.
    pub vocab_size: Option<i32>,
    /// Tokens a document, on average.
    pub avg_sequence_length: Option<f64>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Queries {
    /// Datasets, the newest first: all, or those that a search finds by the words of their
    /// name and description.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn datasets(
        &self,
        search: Option<&str>,
        status: Option<&str>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Dataset>, QueryError> {
        let query = match search {
            Some(words) => sqlx::query_as(include_str!("datasets/search.sql")).bind(words),
            None => sqlx::query_as(include_str!("datasets/list.sql")),
        };
        let rows: Vec<Dataset> = query
            .bind(status)
            .bind(after.map(|cursor| cursor.created_at))
            .bind(after.map(|cursor| cursor.id.as_str()))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt("the datasets"))?;
        Ok(page(rows, limit, |row| {
            Cursor::new(row.created_at, row.id.clone()).to_string()
        }))
    }

    /// The dataset of an id, or the datasets of a name.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn dataset(&self, given: &str) -> Result<Vec<Dataset>, QueryError> {
        sqlx::query_as(
            "SELECT id, name, source, description, size_bytes, status, progress, error_message, file_path,
                    tokenized_path, num_samples, num_tokens, vocab_size, avg_sequence_length, created_at, updated_at
               FROM mistudio.datasets
              WHERE id = $1
                 OR (name = $1 AND NOT EXISTS (SELECT FROM mistudio.datasets WHERE id = $1))
              ORDER BY created_at, id
              LIMIT 5",
        )
        .bind(given)
        .fetch_all(&self.pool)
        .await
        .map_err(attempt(format!("dataset {given}")))
    }
}
