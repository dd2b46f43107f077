//! What of a segmentation training its state does not tell: when it went on, what it recorded last, and why it failed.

use super::{Queries, QueryError, attempt};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::training::Training;
use utoipa::ToSchema;

/// When a training went on, and why it failed.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Course {
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
    /// When a run first began to train.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, while it has.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why it failed, for programs, while it has.
    pub error_code: Option<String>,
    /// The same, and what to do.
    pub error_message: Option<String>,
    /// The last recorded step.
    #[sqlx(json(nullable))]
    pub latest: Option<LatestStep>,
}

/// The last recorded step of a segmentation training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatestStep {
    /// Which step.
    pub step: i64,
    /// Loss.
    pub loss: f64,
    /// Dice coefficient of the step's images: the mean over classes but the background.
    pub dice: Option<f64>,
    /// Learning rate.
    pub learning_rate: Option<f64>,
    /// Images trained on a second.
    pub images_per_second: Option<f64>,
}

impl Queries {
    /// The courses of trainings that there are, in their order.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn courses(
        &self,
        trainings: &[(&str, &Training)],
    ) -> Result<Vec<Course>, QueryError> {
        let ids: Vec<&str> = trainings.iter().map(|(id, _)| *id).collect();
        let ended: Vec<bool> = trainings
            .iter()
            .map(|(_, training)| training.status().has_ended())
            .collect();
        let recorded: Vec<bool> = trainings
            .iter()
            .map(|(_, training)| training.current_step() > 0)
            .collect();
        sqlx::query_as(include_str!("course/courses.sql"))
            .bind(ids)
            .bind(ended)
            .bind(recorded)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt("the course of trainings"))
    }
}
