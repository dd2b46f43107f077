//! Text is wanted: from which model, steered by which features.

mod error;
mod intervention;

pub use error::GenerationRefusal;

use super::{Accepted, Caller, CommandError, Commands, caller::digest};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    id::{JobId, ModelId},
    job::{Generation, Job, JobCommand, JobWork, Queued},
    model::{Model, ModelStatus},
    run::spec::Sampling,
    slurm::Placement,
};
use utoipa::ToSchema;

/// Text that somebody wants. The model writes on from the prompt: plain, and, with a preset or with features, steered too, from the
/// same seed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueGeneration {
    /// Which model writes: its id, or a name that only one has. Else the one that the training read.
    #[serde(default)]
    pub model: Option<String>,
    /// What it goes on from.
    #[schema(min_length = 1, max_length = 65_536)]
    pub prompt: String,
    /// Whether the prompt is wrapped as a user's turn of the model's chat template.
    #[serde(default)]
    pub chat: bool,
    /// How tokens are drawn. What is not given is as its schema says.
    #[serde(default)]
    #[schema(value_type = Option<crate::http::schema::Sampling>)]
    pub sampling: Sampling,
    /// Steer as this preset says: its id, or a name that only one has. Not together with `training`, `features`.
    #[serde(default)]
    pub preset: Option<String>,
    /// Steer by features of this training.
    #[serde(default)]
    pub training: Option<String>,
    /// Which of them, how strongly.
    #[serde(default)]
    pub features: Vec<FeatureChoice>,
    /// After which layer they are added; else the features' own, or the preset's.
    #[serde(default)]
    pub layer: Option<u32>,
    /// On which cluster, with which resources; else on the daemon's machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<crate::http::schema::Placement>)]
    pub placement: Option<Placement>,
}

/// A feature, by its id or by its latent, and how strongly it steers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureChoice {
    /// Its id.
    #[serde(default)]
    pub feature_id: Option<i64>,
    /// Or its latent, counted through all of the training's autoencoders.
    #[serde(default)]
    pub neuron_index: Option<i64>,
    /// In units of the largest activation that was seen of it.
    #[schema(minimum = -300, maximum = 300)]
    pub coefficient: f64,
}

const ROUTE: &str = "generations";

impl Commands {
    /// Queues a generation.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn generate(
        &self,
        command: QueueGeneration,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        let content = digest(&command)?;
        let id = JobId::mint(&caller.identity(ROUTE))?;
        if let Some(before) = self
            .registered_before::<Job>(id.as_str(), caller, ROUTE, &content)
            .await?
        {
            return Ok(before);
        }
        let placement = self.placed(command.placement.clone())?;
        let steering = self.steering(&command).await?;
        let (model_id, model) = match (&command.model, &steering) {
            (Some(given), _) => self.resolve::<Model>(given, false).await?,
            (None, Some(steering)) => {
                let id = steering.model_id.to_string();
                let model = self.log().load::<Model>(&id).await?.state;
                (id, model)
            }
            (None, None) => return Err(GenerationRefusal::NoModel.into()),
        };
        if let Some(steering) = &steering
            && steering.model_id.as_str() != model_id
        {
            return Err(GenerationRefusal::OtherModel {
                training: steering.training_id.to_string(),
                read: steering.model_id.to_string(),
                model: model_id,
            }
            .into());
        }
        match model.status() {
            ModelStatus::Ready => {}
            ModelStatus::Error => {
                return Err(CommandError::InError {
                    what: "model",
                    id: model_id,
                });
            }
            status => {
                return Err(GenerationRefusal::ModelNotReady {
                    model: model_id,
                    status: status.as_str(),
                }
                .into());
            }
        }
        let intervention = match steering {
            None => None,
            Some(steering) => {
                let intervention = steering.intervention(command.layer)?;
                let layers = model.num_layers();
                if intervention.layer >= layers {
                    return Err(CommandError::Layer {
                        layer: intervention.layer,
                        model: model_id,
                        last: u64::from(layers.saturating_sub(1)),
                    });
                }
                Some(intervention)
            }
        };
        let queue = JobCommand::Queue(Queued {
            placement,
            work: JobWork::Generation(Generation {
                model_id: ModelId::new(model_id)?,
                prompt: command.prompt,
                chat: command.chat,
                sampling: command.sampling,
                intervention,
            }),
        });
        self.execute::<Job>(id.as_str(), queue, caller, ROUTE, Some(&content))
            .await
    }
}
