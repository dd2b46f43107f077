//! An autoencoder that another program trained becomes a training that is complete.

mod sae_lens;

use super::{Accepted, Caller, CommandError, Commands, caller::digest, source};
use sae_lens::Described;
use serde::{Deserialize, Serialize};
use std::path::Path;
use trainmaster_domain::{
    dataset::Dataset,
    id::{DatasetId, ModelId, TrainingId},
    model::Model,
    training::{self, Training, TrainingCommand},
};
use utoipa::ToSchema;

/// An autoencoder that another program trained.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportAutoencoder {
    /// A SAELens directory (`cfg.json` and `sae_weights.safetensors`): an absolute path on the daemon's machine.
    #[schema(example = "/srv/autoencoders/smollm2-blocks.5.hook_resid_post")]
    pub path: String,
    /// Whose activations it reads: a model's id, or a name that only one has.
    pub model: String,
    /// On which text its features are to be looked for: a dataset's id, or a name that only one has.
    pub dataset: String,
}

const ROUTE: &str = "autoencoders";

impl Commands {
    /// Queues the import of an autoencoder, which ends as a completed training without steps.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn import_autoencoder(
        &self,
        command: ImportAutoencoder,
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
        let (model_id, _) = self.resolve::<Model>(&command.model, false).await?;
        let (dataset_id, _) = self.resolve::<Dataset>(&command.dataset, false).await?;
        let path = command.path.clone();
        let (path, described) = tokio::task::spawn_blocking(move || {
            let files = source::examine(&path)?;
            let described = Described::read(Path::new(&files.path))?;
            Ok::<_, CommandError>((files.path, described))
        })
        .await
        .map_err(|_| CommandError::ShuttingDown)??;
        if let Some(layers) = self.layers(&model_id).await?
            && u64::from(described.layer) >= layers
        {
            return Err(CommandError::Layer {
                layer: described.layer,
                model: model_id,
                last: layers.saturating_sub(1),
            });
        }
        let queue = TrainingCommand::Queue(training::QueueTraining {
            placement: None,
            model_id: ModelId::new(model_id)?,
            dataset_id: DatasetId::new(dataset_id)?,
            encoder_type: described.encoder_type,
            hyperparameters: described.hyperparameters(),
            import_from: Some(path),
        });
        self.execute::<Training>(id.as_str(), queue, caller, ROUTE, Some(&content))
            .await
    }
}
