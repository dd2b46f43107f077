//! Rows of `mistudio.checkpoints`.

use super::{Page, Queries, QueryError, attempt, page};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use utoipa::ToSchema;

/// A checkpoint of a training.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Checkpoint {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub training_id: String,
    /// Steps that are done in it.
    pub step: i32,
    /// Loss at that step.
    pub loss: Option<f64>,
    /// L0 at that step.
    pub sparsity: Option<f64>,
    /// Its directory.
    pub storage_path: String,
    /// Bytes of its files.
    pub file_size_bytes: Option<i64>,
    /// When it was announced.
    pub created_at: DateTime<Utc>,
}

impl Queries {
    /// Checkpoints of a training, the newest first; `before` is the step at which the last page ended.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn checkpoints(
        &self,
        training_id: &str,
        before: Option<i32>,
        limit: u32,
    ) -> Result<Page<Checkpoint>, QueryError> {
        let rows: Vec<Checkpoint> = sqlx::query_as(
            "SELECT id, training_id, step, loss, sparsity, storage_path, file_size_bytes, created_at
               FROM mistudio.checkpoints
              WHERE training_id = $1 AND ($2::integer IS NULL OR step < $2)
              ORDER BY step DESC
              LIMIT $3",
        )
        .bind(training_id)
        .bind(before)
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.pool)
        .await
        .map_err(attempt(format!("the checkpoints of training {training_id}")))?;
        Ok(page(rows, limit, |row| row.step.to_string()))
    }

    /// When the checkpoints of a training were announced, by their ids, as far as the database holds it.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn checkpoint_times(
        &self,
        training_id: &str,
    ) -> Result<HashMap<String, DateTime<Utc>>, QueryError> {
        let rows: Vec<(String, DateTime<Utc>)> = sqlx::query_as(
            "SELECT payload ->> 'checkpoint_id', recorded_at
               FROM log.events
              WHERE category = 'training' AND stream_id = $1 AND type = 'CheckpointSaved'",
        )
        .bind(training_id)
        .fetch_all(&self.pool)
        .await
        .map_err(attempt(format!(
            "the checkpoints of training {training_id}"
        )))?;
        Ok(rows.into_iter().collect())
    }
}
