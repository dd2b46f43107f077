//! What is watched: a training of an autoencoder, or of a network that segments images.

use crate::{
    cli::{
        client::{Client, training_path},
        failure::Failure,
    },
    http::Segmentation,
    queries::{LatestStep, TrainingDetail},
};
use serde_json::Value;
use trainmaster_domain::id::TrainingId;

/// A training as it is read.
pub(super) struct Watched {
    pub(super) id: String,
    pub(super) of_images: bool,
    pub(super) status: String,
    pub(super) requested: Option<String>,
    pub(super) current_step: u64,
    pub(super) total_steps: u64,
    pub(super) batch_size: f64,
    pub(super) rate: Option<f64>,
    pub(super) loss: Option<f64>,
    pub(super) sparsity: Option<f64>,
    pub(super) explained_variance: Option<f64>,
    pub(super) dead: Option<i64>,
    pub(super) dice: Option<f64>,
    pub(super) result_path: Option<String>,
    pub(super) error_code: Option<String>,
    pub(super) error_message: Option<String>,
    /// The daemon's answer.
    pub(super) whole: Value,
}

impl Watched {
    /// Reads it, as it was at a position of the log or later.
    pub(super) async fn at(client: &Client, id: &str, position: &str) -> Result<Self, Failure> {
        let path = format!("{}?at_least={position}", training_path(id));
        let whole: Value = client.get(&path).await?;
        let read = if TrainingId::is_segmentation(id) {
            serde_json::from_value(whole.clone()).map(|found| Self::of_images(found, whole))
        } else {
            serde_json::from_value(whole.clone()).map(|found| Self::of_autoencoder(found, whole))
        };
        read.map_err(|error| {
            Failure::failed(
                "unexpected_answer",
                format!("the daemon's answer cannot be read ({error}); is it of another version?"),
            )
        })
    }

    fn of_autoencoder(detail: TrainingDetail, whole: Value) -> Self {
        let training = detail.training;
        let latest = detail.latest.as_ref();
        Self {
            of_images: false,
            requested: detail.requested,
            current_step: u64::try_from(training.current_step).unwrap_or(0),
            total_steps: u64::try_from(training.total_steps).unwrap_or(0),
            batch_size: training
                .hyperparameters
                .get("batchSize")
                .and_then(Value::as_f64)
                .unwrap_or(0.0),
            rate: latest.and_then(|latest| latest.tokens_per_second),
            loss: latest.map(|latest| latest.loss),
            sparsity: latest.and_then(|latest| latest.sparsity),
            explained_variance: latest.and_then(|latest| latest.explained_variance),
            dead: latest.and_then(|latest| latest.dead_neurons.map(i64::from)),
            dice: None,
            result_path: detail.result_path,
            id: training.id,
            status: training.status,
            error_code: training.error_code,
            error_message: training.error_message,
            whole,
        }
    }

    fn of_images(found: Segmentation, whole: Value) -> Self {
        let latest = |of: fn(&LatestStep) -> Option<f64>| found.latest.as_ref().and_then(of);
        Self {
            of_images: true,
            batch_size: f64::from(found.settings.batch_size),
            rate: latest(|it| it.images_per_second),
            loss: latest(|it| Some(it.loss)),
            dice: latest(|it| it.dice),
            sparsity: None,
            explained_variance: None,
            dead: None,
            id: found.id,
            status: found.status,
            requested: found.requested,
            current_step: found.current_step,
            total_steps: found.total_steps,
            result_path: found.result_path,
            error_code: found.error_code,
            error_message: found.error_message,
            whole,
        }
    }
}
