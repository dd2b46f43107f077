//! Commands that ask what is there to change its state: pause, resume, stop, retry.

use super::{Accepted, Caller, CommandError, Commands};
use trainmaster_domain::{
    dataset::{Dataset, DatasetCommand},
    id::{DatasetId, ModelId, TrainingId},
    model::{Model, ModelCommand},
    training::{Training, TrainingCommand},
};

impl Commands {
    /// Asks a training's run to rest at a checkpoint.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn pause(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        self.training(id, TrainingCommand::RequestPause, caller, "pause")
            .await
    }

    /// Lets a paused training go on.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn resume(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        self.training(id, TrainingCommand::Resume, caller, "resume")
            .await
    }

    /// Asks a training to stop for good, keeping the autoencoder that there is.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn stop(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        self.training(id, TrainingCommand::RequestStop, caller, "stop")
            .await
    }

    /// Tries a failed training again.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn retry_training(
        &self,
        id: &str,
        caller: &Caller,
    ) -> Result<Accepted, CommandError> {
        self.training(id, TrainingCommand::Retry, caller, "retry")
            .await
    }

    /// Tries a failed dataset again, from the stage that failed.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn retry_dataset(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        DatasetId::new(id)?;
        let route = format!("datasets/{id}/retry");
        self.execute::<Dataset>(id, DatasetCommand::Retry, caller, &route, None)
            .await
    }

    /// Tries a failed model again.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn retry_model(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        ModelId::new(id)?;
        let route = format!("models/{id}/retry");
        self.execute::<Model>(id, ModelCommand::Retry, caller, &route, None)
            .await
    }

    async fn training(
        &self,
        id: &str,
        command: TrainingCommand,
        caller: &Caller,
        verb: &str,
    ) -> Result<Accepted, CommandError> {
        TrainingId::new(id)?;
        let route = format!("trainings/{id}/{verb}");
        self.execute::<Training>(id, command, caller, &route, None)
            .await
    }
}
