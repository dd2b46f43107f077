//! Rows of `mistudio.training_metrics`, thinned for charts.

use super::{Queries, QueryError, attempt};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A recorded step.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Metric {
    /// Which step.
    pub step: i32,
    /// Loss.
    pub loss: f64,
    /// L0.
    pub sparsity: Option<f64>,
    /// The reconstruction's part of the loss.
    pub reconstruction_error: Option<f64>,
    /// Dead latents.
    pub dead_neurons: Option<i32>,
    /// Fraction of variance explained.
    pub explained_variance: Option<f64>,
    /// Learning rate.
    pub learning_rate: Option<f64>,
    /// When the step ended.
    pub timestamp: Option<DateTime<Utc>>,
}

/// Which steps, and how many of them.
#[derive(Clone, Copy, Debug)]
pub struct MetricsRange {
    /// The first step.
    pub from_step: i32,
    /// The last step.
    pub to_step: i32,
    /// At most so many rows: of more, the last of each of as many equal parts.
    pub points: u32,
}

impl Queries {
    /// Recorded steps of a training in order. Each is a row as it was recorded, never an average.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn metrics(
        &self,
        training_id: &str,
        range: MetricsRange,
    ) -> Result<Vec<Metric>, QueryError> {
        sqlx::query_as(include_str!("metrics/thinned.sql"))
            .bind(training_id)
            .bind(range.from_step)
            .bind(range.to_step)
            .bind(i32::try_from(range.points).unwrap_or(i32::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!("the metrics of training {training_id}")))
    }
}
