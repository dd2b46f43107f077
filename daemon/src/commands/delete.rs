//! Models, datasets and trainings are deleted: nothing that needs them may be there. A dataset does not need the model whose tokenizer
//! read it any more: its tokens are its own.

use super::{Accepted, Caller, CommandError, Commands};
use trainmaster_domain::{
    dataset::{Dataset, DatasetCommand},
    id::{DatasetId, ModelId, TrainingId},
    model::{Model, ModelCommand},
    training::{Training, TrainingCommand},
};

impl Commands {
    /// Deletes a model that no training, and no job that is not done, needs.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_model(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        ModelId::new(id)?;
        let route = format!("models/{id}/delete");
        self.execute::<Model>(id, ModelCommand::Delete, caller, &route, None)
            .await
    }

    /// Deletes a dataset that no training, and no job that is not done, needs.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_dataset(
        &self,
        id: &str,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        DatasetId::new(id)?;
        let route = format!("datasets/{id}/delete");
        self.execute::<Dataset>(id, DatasetCommand::Delete, caller, &route, None)
            .await
    }

    /// Deletes a training that does not run, with its metrics, checkpoints, autoencoder, features and presets.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn delete_training(
        &self,
        id: &str,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        TrainingId::new(id)?;
        let route = format!("trainings/{id}/delete");
        self.execute::<Training>(id, TrainingCommand::Delete, caller, &route, None)
            .await
    }
}
