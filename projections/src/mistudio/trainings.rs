//! `trainings` ← the events of trainings.
//!
//! `error_message` and `error_code` say why the last attempt ended badly. They stay while the daemon tries again by itself
//! (so whoever looks during a back-off sees what it waits for), and go once the next attempt trains, rests or ends well,
//! or when a person retries. `completed_at` is when the training last became completed, stopped, failed or error, and goes
//! with a retry. `latest_*` are those of the last row of `training_metrics`.

use crate::{
    ApplyError,
    fold::{Happened, Row},
    value,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::collections::BTreeSet;
use trainmaster_domain::training::{Queued, TrainingEvent, TrainingStatus};

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Training {
    id: String,
    model_id: String,
    dataset_id: String,
    encoder_type: String,
    hyperparameters: serde_json::Value,
    status: String,
    current_step: Option<i32>,
    total_steps: i32,
    latest_loss: Option<f64>,
    latest_sparsity: Option<f64>,
    latest_dead_neurons: Option<i32>,
    error_message: Option<String>,
    error_code: Option<String>,
    retry_count: Option<i32>,
    created_at: Option<DateTime<Utc>>,
    started_at: Option<DateTime<Utc>>,
    paused_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    gpu_id: Option<i32>,
    worker_id: Option<String>,
}

impl Row for Training {
    type Event = TrainingEvent;
    const TABLE: &'static str = "trainings";
    const SELECT: &'static str = "SELECT * FROM trainings WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO trainings (
            id, model_id, dataset_id, encoder_type, hyperparameters, status, current_step, total_steps, latest_loss,
            latest_sparsity, latest_dead_neurons, error_message, error_code, retry_count, created_at, started_at,
            paused_at, completed_at, updated_at, gpu_id, worker_id)
        SELECT
            id, model_id, dataset_id, encoder_type, hyperparameters, status, current_step, total_steps, latest_loss,
            latest_sparsity, latest_dead_neurons, error_message, error_code, retry_count, created_at, started_at,
            paused_at, completed_at, updated_at, gpu_id, worker_id
        FROM jsonb_populate_recordset(NULL::trainings, $1)
        ON CONFLICT (id) DO UPDATE SET
            status = EXCLUDED.status,
            current_step = EXCLUDED.current_step,
            latest_loss = EXCLUDED.latest_loss,
            latest_sparsity = EXCLUDED.latest_sparsity,
            latest_dead_neurons = EXCLUDED.latest_dead_neurons,
            error_message = EXCLUDED.error_message,
            error_code = EXCLUDED.error_code,
            retry_count = EXCLUDED.retry_count,
            started_at = EXCLUDED.started_at,
            paused_at = EXCLUDED.paused_at,
            completed_at = EXCLUDED.completed_at,
            updated_at = EXCLUDED.updated_at,
            gpu_id = EXCLUDED.gpu_id,
            worker_id = EXCLUDED.worker_id";

    fn id(&self) -> &str {
        &self.id
    }

    fn first(id: &str, event: &TrainingEvent, at: DateTime<Utc>) -> Option<Self> {
        match event {
            TrainingEvent::TrainingQueued(queued) => Some(Self::queued(id, queued, at)),
            _ => None,
        }
    }

    fn then(&mut self, event: &TrainingEvent, at: DateTime<Utc>) {
        self.updated_at = Some(at);
        match event {
            TrainingEvent::TrainingQueued(_)
            | TrainingEvent::CheckpointSaved(_)
            | TrainingEvent::TrainingEvaluated(_)
            | TrainingEvent::SegmentationQueued(_)
            | TrainingEvent::SegmentationEvaluated(_)
            | TrainingEvent::ModelProduced(_)
            | TrainingEvent::PauseRequested {}
            | TrainingEvent::TrainingDeleted {}
            | TrainingEvent::MetricsPruned(_)
            | TrainingEvent::CheckpointPruned(_)
            | TrainingEvent::ActivationsPruned(_)
            | TrainingEvent::StopRequested {} => {}
            TrainingEvent::TrainingClaimed(claimed) => {
                self.enter(TrainingStatus::Initializing);
                self.gpu_id = claimed.gpu_id;
                self.worker_id = Some(value::text(&claimed.worker_id, 100));
            }
            TrainingEvent::TrainingStarted(started) => {
                self.enter(TrainingStatus::Training);
                self.current_step = Some(value::integer(started.at_step));
                self.started_at.get_or_insert(at);
                self.forgive();
            }
            TrainingEvent::MetricsRecorded(recorded) => {
                let metrics = &recorded.metrics;
                if let Some(step) = metrics.steps.last() {
                    self.current_step = Some(value::integer(*step));
                }
                self.latest_loss = metrics.loss.last().copied();
                self.latest_sparsity = metrics.sparsity.last().copied();
                self.latest_dead_neurons = metrics.dead_neurons.last().copied().map(value::integer);
            }
            TrainingEvent::TrainingPaused(paused) => {
                self.enter(TrainingStatus::Paused);
                self.current_step = Some(value::integer(paused.step));
                self.paused_at = Some(at);
                self.forgive();
            }
            TrainingEvent::TrainingResumed {} => self.enter(TrainingStatus::Queued),
            TrainingEvent::TrainingStopped(ended) => {
                self.end(TrainingStatus::Stopped, at);
                self.current_step = Some(value::integer(ended.step));
                self.forgive();
            }
            TrainingEvent::TrainingCompleted(ended) => {
                self.end(TrainingStatus::Completed, at);
                self.current_step = Some(value::integer(ended.step));
                self.forgive();
            }
            TrainingEvent::TrainingFailed(failed) => {
                self.end(TrainingStatus::Failed, at);
                self.blame(&failed.code, &failed.message);
            }
            TrainingEvent::TrainingErrored(failed) => {
                self.end(TrainingStatus::Error, at);
                self.blame(&failed.code, &failed.message);
            }
            TrainingEvent::TrainingLeaseExpired(expired) => {
                self.end(TrainingStatus::Error, at);
                self.blame(expired.reason.name(), &expired.message);
            }
            TrainingEvent::TrainingRetried(retried) => {
                self.enter(TrainingStatus::Queued);
                self.retry_count = Some(self.retry_count.unwrap_or(0).saturating_add(1));
                self.completed_at = None;
                if !retried.automatic {
                    self.forgive();
                }
            }
        }
    }
}

impl Training {
    fn queued(id: &str, queued: &Queued, at: DateTime<Utc>) -> Self {
        Self {
            id: id.to_owned(),
            model_id: queued.model_id.as_str().to_owned(),
            dataset_id: queued.dataset_id.as_str().to_owned(),
            encoder_type: queued.encoder_type.as_str().to_owned(),
            // Numbers and names only: it was JSON in the log.
            hyperparameters: serde_json::to_value(&queued.hyperparameters).unwrap_or_default(),
            status: TrainingStatus::Queued.as_str().to_owned(),
            current_step: Some(0),
            total_steps: value::integer(queued.total_steps),
            latest_loss: None,
            latest_sparsity: None,
            latest_dead_neurons: None,
            error_message: None,
            error_code: None,
            retry_count: Some(0),
            created_at: Some(at),
            started_at: None,
            paused_at: None,
            completed_at: None,
            updated_at: Some(at),
            gpu_id: None,
            worker_id: None,
        }
    }

    fn enter(&mut self, status: TrainingStatus) {
        self.status = status.as_str().to_owned();
    }

    fn end(&mut self, status: TrainingStatus, at: DateTime<Utc>) {
        self.enter(status);
        self.completed_at = Some(at);
    }

    fn blame(&mut self, code: &str, message: &str) {
        self.error_code = Some(value::text(code, 100));
        self.error_message = Some(message.to_owned());
    }

    fn forgive(&mut self) {
        self.error_code = None;
        self.error_message = None;
    }
}

/// Gives trainings that have gone back to an earlier step, and have recorded nothing since, the metrics of that step.
pub(super) async fn look_back(
    connection: &mut PgConnection,
    events: &[Happened<'_, TrainingEvent>],
) -> Result<(), ApplyError> {
    let mut gone_back: BTreeSet<&str> = BTreeSet::new();
    for happened in events {
        match happened.event {
            TrainingEvent::TrainingStarted(_) => gone_back.insert(&happened.stream.id),
            TrainingEvent::MetricsRecorded(_) => gone_back.remove(happened.stream.id.as_str()),
            _ => false,
        };
    }
    if gone_back.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE trainings t
            SET latest_loss = m.loss, latest_sparsity = m.sparsity, latest_dead_neurons = m.dead_neurons
           FROM unnest($1::varchar[]) AS gone_back (id)
           LEFT JOIN LATERAL (
                SELECT loss, sparsity, dead_neurons
                  FROM training_metrics
                 WHERE training_id = gone_back.id
                 ORDER BY step DESC
                 LIMIT 1) AS m ON TRUE
          WHERE t.id = gone_back.id",
    )
    .bind(gone_back.into_iter().collect::<Vec<_>>())
    .execute(connection)
    .await
    .map_err(ApplyError::on(Training::TABLE))?;
    Ok(())
}
