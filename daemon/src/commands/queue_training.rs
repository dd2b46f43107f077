//! A training is wanted: of which model, on which dataset, how.

mod hyperparameters;
mod template;

pub(super) use hyperparameters::{complete, overlaid};

use super::{Accepted, Caller, CommandError, Commands, caller::digest};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    dataset::{Dataset, DatasetStatus},
    id::{DatasetId, ModelId, TrainingId},
    model::{Model, ModelStatus},
    slurm::Placement,
    training::{self, EncoderType, Training, TrainingCommand},
};
use utoipa::ToSchema;

/// A training that somebody wants.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueTraining {
    /// A training template that says what the rest leaves out: its id, or a name that only one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Whose activations: a model's id, or a name that only one has. Needed unless the template names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// On which text: a dataset's id, or a name that only one has. Needed unless the template names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Which kind of autoencoder; else the template's, else `sparse`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(sparse|skip|transcoder)$")]
    pub encoder_type: Option<EncoderType>,
    /// How. What is not given is as in the template, else as in `GET /v1/hyperparameters`.
    #[serde(default)]
    #[schema(value_type = Option<crate::http::schema::Hyperparameters>)]
    pub hyperparameters: serde_json::Map<String, serde_json::Value>,
    /// On which cluster, with which resources; else on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schema::Placement>)]
    pub placement: Option<Placement>,
}

pub(super) const fn sparse() -> EncoderType {
    EncoderType::Sparse
}

const ROUTE: &str = "trainings";

impl Commands {
    /// Queues a training.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn queue_training(
        &self,
        command: QueueTraining,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        let id = TrainingId::mint(&caller.identity(ROUTE))?;
        if let Some(before) = self
            .registered_before::<Training>(id.as_str(), caller, ROUTE, &content)
            .await?
        {
            return Ok(before);
        }
        let placement = self.placed(command.placement.clone())?;
        let wanted = self.wanted(&command).await?;
        let hyperparameters = wanted.hyperparameters;
        hyperparameters.validate()?;
        let (model_id, model) = self.resolve::<Model>(&wanted.model, false).await?;
        let (dataset_id, dataset) = self.resolve::<Dataset>(&wanted.dataset, false).await?;
        if model.status() == ModelStatus::Error {
            return Err(CommandError::InError {
                what: "model",
                id: model_id,
            });
        }
        if dataset.tokenized_for(&model_id).is_none() {
            if dataset.status() == DatasetStatus::Error {
                return Err(CommandError::InError {
                    what: "dataset",
                    id: dataset_id,
                });
            }
            if let Some(tokenizer) = dataset.tokenizer()
                && tokenizer.as_str() != model_id
            {
                return Err(CommandError::Tokenizer {
                    dataset: dataset_id,
                    tokenizer_model: tokenizer.to_string(),
                    model: model_id,
                });
            }
        }
        let deepest = hyperparameters.sites(0).iter().map(|site| site.layer).max();
        if let Some(layer) = deepest
            && let Some(layers) = self.layers(&model_id).await?
            && u64::from(layer) >= layers
        {
            return Err(CommandError::Layer {
                layer,
                model: model_id,
                last: layers.saturating_sub(1),
            });
        }
        let queue = TrainingCommand::Queue(training::QueueTraining {
            placement,
            model_id: ModelId::new(model_id)?,
            dataset_id: DatasetId::new(dataset_id)?,
            encoder_type: wanted.encoder_type,
            hyperparameters,
            import_from: None,
        });
        self.execute::<Training>(id.as_str(), queue, caller, ROUTE, Some(&content))
            .await
    }

    /// How many layers a model has, once it has been looked at.
    pub(super) async fn layers(&self, model_id: &str) -> Result<Option<u64>, CommandError> {
        let layers: Option<Option<i64>> = sqlx::query_scalar(
            "SELECT (architecture_config ->> 'num_layers')::bigint FROM mistudio.models WHERE id = $1",
        )
        .bind(model_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(|source| CommandError::ReadModel {
            attempt: format!("the layers of model {model_id}"),
            source,
        })?;
        Ok(layers.flatten().and_then(|n| u64::try_from(n).ok()))
    }
}
