//! A template fills what a request leaves out.

use super::{QueueTraining, complete, sparse};
use crate::commands::{CommandError, Commands};
use trainmaster_domain::{
    Aggregate, hyperparameters::Hyperparameters, training::EncoderType,
    training_template::KeptTrainingTemplate,
};

/// What is wanted, nothing left out.
pub(super) struct Wanted {
    /// An id or a name.
    pub(super) model: String,
    /// An id or a name.
    pub(super) dataset: String,
    pub(super) encoder_type: EncoderType,
    pub(super) hyperparameters: Hyperparameters,
}

impl Commands {
    pub(super) async fn wanted(&self, command: &QueueTraining) -> Result<Wanted, CommandError> {
        let Some(given) = &command.template else {
            let missing = |field| CommandError::Invalid {
                field,
                problem: format!("say which {field}, by id or name, or name a template that does"),
            };
            return Ok(Wanted {
                model: command.model.clone().ok_or_else(|| missing("model"))?,
                dataset: command.dataset.clone().ok_or_else(|| missing("dataset"))?,
                encoder_type: command.encoder_type.unwrap_or_else(sparse),
                hyperparameters: complete(None, &command.hyperparameters)?,
            });
        };
        let (id, kept) = self.resolve::<KeptTrainingTemplate>(given, false).await?;
        let Some(template) = kept.definition() else {
            return Err(CommandError::Deleted {
                category: KeptTrainingTemplate::CATEGORY,
                id,
                addressed: false,
            });
        };
        let lacks = |what| CommandError::TemplateLacks {
            template: id.clone(),
            what,
        };
        let model = match (&command.model, &template.model_id) {
            (Some(given), _) => given.clone(),
            (None, Some(id))
                if !self
                    .is_deleted::<trainmaster_domain::model::Model>(id.as_str())
                    .await? =>
            {
                id.to_string()
            }
            _ => return Err(lacks("model")),
        };
        let dataset = match (&command.dataset, &template.dataset_id) {
            (Some(given), _) => given.clone(),
            (None, Some(id))
                if !self
                    .is_deleted::<trainmaster_domain::dataset::Dataset>(id.as_str())
                    .await? =>
            {
                id.to_string()
            }
            _ => return Err(lacks("dataset")),
        };
        Ok(Wanted {
            model,
            dataset,
            encoder_type: command.encoder_type.unwrap_or(template.encoder_type),
            hyperparameters: complete(Some(&template.hyperparameters), &command.hyperparameters)?,
        })
    }

    /// A template forgets what has been deleted.
    async fn is_deleted<A: Aggregate>(&self, id: &str) -> Result<bool, CommandError> {
        Ok(self.log.load::<A>(id).await?.state.is_deleted())
    }
}
