//! Rows of `mistudio.trainings`, and what a person asks of one.

use super::{
    Checkpoint, Cursor, Evaluation, Page, Queries, QueryError, SlurmJobSummary, attempt, page,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use trainmaster_domain::slurm::Placement;
use utoipa::ToSchema;

/// A training.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Training {
    /// Its id.
    pub id: String,
    /// Whose activations.
    pub model_id: String,
    /// What people call that model.
    pub model_name: Option<String>,
    /// On which text.
    pub dataset_id: String,
    /// What people call that dataset.
    pub dataset_name: Option<String>,
    /// `sparse`, `skip` or `transcoder`.
    pub encoder_type: String,
    /// How.
    #[schema(value_type = crate::http::schema::Hyperparameters)]
    pub hyperparameters: serde_json::Value,
    /// `queued`, `initializing`, `training`, `paused`, `stopped`, `completed`, `failed` or `error`.
    pub status: String,
    /// The last step that was recorded.
    pub current_step: i32,
    /// Steps to do.
    pub total_steps: i32,
    /// 0 to 100.
    pub progress: f64,
    /// Loss of the last recorded step.
    pub latest_loss: Option<f64>,
    /// L0 of the last recorded step.
    pub latest_sparsity: Option<f64>,
    /// Dead latents at the last recorded step.
    pub latest_dead_neurons: Option<i32>,
    /// What went wrong, and what to do.
    pub error_message: Option<String>,
    /// The same, for programs.
    pub error_code: Option<String>,
    /// Attempts after the first.
    pub retry_count: i32,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When a run first began to train.
    pub started_at: Option<DateTime<Utc>>,
    /// When it last came to rest.
    pub paused_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
    /// The number of its GPU, when it has one.
    pub gpu_id: Option<i32>,
    /// The worker that holds it.
    pub worker_id: Option<String>,
}

/// A training, with what its log and its other tables know.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrainingDetail {
    /// Its row.
    #[serde(flatten)]
    pub training: Training,
    /// The last recorded step.
    pub latest: Option<Latest>,
    /// The checkpoint that it would go on from.
    pub latest_checkpoint: Option<Checkpoint>,
    /// `pause` or `stop` while its run has been asked for it and has not answered yet.
    pub requested: Option<String>,
    /// The directory of the autoencoder, once there is one.
    pub result_path: Option<String>,
    /// The latest evaluations on held-out tokens, the newest first, at most ten.
    #[serde(default)]
    pub evaluations: Vec<Evaluation>,
    /// On which cluster it is executed, with which resources; null: on the daemon's machine.
    #[serde(default)]
    #[schema(value_type = Option<crate::http::schema::Placement>)]
    pub placement: Option<Placement>,
    /// The SLURM job that it became last.
    #[serde(default)]
    pub slurm_job: Option<SlurmJobSummary>,
}

/// The last recorded step of a training.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Latest {
    /// Which step.
    pub step: i32,
    /// Loss.
    pub loss: f64,
    /// L0: mean count of latents that are not zero.
    pub sparsity: Option<f64>,
    /// Dead latents.
    pub dead_neurons: Option<i32>,
    /// Fraction of variance explained.
    pub explained_variance: Option<f64>,
    /// Learning rate.
    pub learning_rate: Option<f64>,
    /// Activations trained on a second, over the last batch of metrics.
    pub tokens_per_second: Option<f64>,
    /// When, by the trainer's clock.
    pub timestamp: Option<DateTime<Utc>>,
}

/// Which trainings.
#[derive(Clone, Debug, Default)]
pub struct TrainingFilter {
    /// In this status.
    pub status: Option<String>,
    /// On this model.
    pub model_id: Option<String>,
    /// On this dataset.
    pub dataset_id: Option<String>,
}

impl Queries {
    /// Trainings, the newest first.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn trainings(
        &self,
        filter: &TrainingFilter,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Training>, QueryError> {
        let rows: Vec<Training> = sqlx::query_as(include_str!("trainings/list.sql"))
            .bind(filter.status.as_deref())
            .bind(filter.model_id.as_deref())
            .bind(filter.dataset_id.as_deref())
            .bind(after.map(|cursor| cursor.created_at))
            .bind(after.map(|cursor| cursor.id.as_str()))
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt("the trainings"))?;
        Ok(page(rows, limit, |row| {
            Cursor::new(row.created_at, row.id.clone()).to_string()
        }))
    }

    /// Whether there is such a training.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn has_training(&self, id: &str) -> Result<bool, QueryError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM mistudio.trainings WHERE id = $1)")
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .map_err(attempt(format!("training {id}")))
    }

    /// A training with what its log and its other tables know.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn training(&self, id: &str) -> Result<Option<TrainingDetail>, QueryError> {
        let wanted = || attempt(format!("training {id}"));
        let training: Option<Training> = sqlx::query_as(include_str!("trainings/one.sql"))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(wanted())?;
        let Some(training) = training else {
            return Ok(None);
        };
        let latest = sqlx::query_as(include_str!("trainings/latest.sql"))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(wanted())?;
        let (requested, result_path) = sqlx::query_as(include_str!("trainings/outcome.sql"))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(wanted())?
            .unwrap_or((None, None));
        let placement: Option<Option<Json<Placement>>> = sqlx::query_scalar(
            "SELECT payload -> 'placement' FROM log.events WHERE category = 'training' AND stream_id = $1 AND version = 1",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .map_err(wanted())?;
        let evaluations = self.evaluations(id).await?;
        let latest_checkpoint = self.checkpoints(id, None, 1).await?.items.pop();
        Ok(Some(TrainingDetail {
            training,
            latest,
            latest_checkpoint,
            requested,
            result_path,
            evaluations,
            placement: placement.flatten().map(|Json(placement)| placement),
            slurm_job: None,
        }))
    }
}
