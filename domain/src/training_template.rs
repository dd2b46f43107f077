//! A way to train that is kept for another time.

use crate::{
    Category,
    hyperparameters::Hyperparameters,
    id::{DatasetId, ModelId},
    kept::{Change, Definition, Kept, KeptRefusal, check_words, events},
    training::EncoderType,
};
use serde::{Deserialize, Serialize};

/// What a template says of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingTemplate {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The model that it is tuned for; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<ModelId>,
    /// The dataset that it is tuned for; none: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_id: Option<DatasetId>,
    /// Which kind of autoencoder.
    pub encoder_type: EncoderType,
    /// How: all of them.
    pub hyperparameters: Hyperparameters,
}

events!(
    /// What can have happened to a training template.
    TrainingTemplateEvent of TrainingTemplate, TrainingTemplate:
    TrainingTemplateCreated, TrainingTemplateUpdated, TrainingTemplateDeleted, TrainingTemplateFavourited
);

/// A training template's stream.
pub type KeptTrainingTemplate = Kept<TrainingTemplate>;

impl Definition for TrainingTemplate {
    const CATEGORY: Category = Category::TrainingTemplate;
    const NOUN: &'static str = "training template";
    type Event = TrainingTemplateEvent;

    fn validate(&self) -> Result<(), KeptRefusal> {
        check_words(&self.name, self.description.as_deref())?;
        Ok(self.hyperparameters.validate()?)
    }

    fn event(change: Change<Self>) -> Option<TrainingTemplateEvent> {
        TrainingTemplateEvent::of(change)
    }

    fn change(event: &TrainingTemplateEvent) -> Change<Self> {
        event.change()
    }

    fn event_type(event: &TrainingTemplateEvent) -> &'static str {
        event.event_type()
    }
}
