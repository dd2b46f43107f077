//! One sample of every event of templates and presets, and samples of what they say.

use super::{dataset_id, jobs::training_id, model_id};
use trainmaster_domain::{
    Event,
    extraction_template::{ExtractionTemplate, ExtractionTemplateEvent},
    hyperparameters::{Hook, Hyperparameters},
    kept::Favourite,
    preset::{Preset, PresetEvent, PresetFeature},
    training::EncoderType,
    training_template::{TrainingTemplate, TrainingTemplateEvent},
};

pub fn training_template() -> TrainingTemplate {
    TrainingTemplate {
        name: "small and quick".into(),
        description: Some("For a first look.".into()),
        model_id: Some(model_id()),
        dataset_id: Some(dataset_id()),
        encoder_type: EncoderType::Sparse,
        hyperparameters: Hyperparameters::default(),
    }
}

pub fn extraction_template() -> ExtractionTemplate {
    ExtractionTemplate {
        name: "middle layers".into(),
        description: Some("Where most happens.".into()),
        layers: vec![5, 6],
        hook_types: vec![Hook::Residual, Hook::Mlp],
        max_samples: Some(10_000),
        top_k_examples: 100,
    }
}

pub fn preset() -> Preset {
    Preset {
        training_id: training_id(),
        name: "more rain".into(),
        description: Some("Weather in every sentence.".into()),
        features: vec![PresetFeature {
            feature_id: 17_042,
            coefficient: 2.5,
        }],
        intervention_layer: 5,
    }
}

pub fn every_event() -> Vec<Event> {
    use ExtractionTemplateEvent as Extraction;
    use TrainingTemplateEvent as Training;
    let mark = Favourite { is_favorite: true };
    vec![
        Training::TrainingTemplateCreated(training_template()).into(),
        Training::TrainingTemplateUpdated(training_template()).into(),
        Training::TrainingTemplateFavourited(mark).into(),
        Training::TrainingTemplateDeleted {}.into(),
        Extraction::ExtractionTemplateCreated(extraction_template()).into(),
        Extraction::ExtractionTemplateUpdated(extraction_template()).into(),
        Extraction::ExtractionTemplateFavourited(mark).into(),
        Extraction::ExtractionTemplateDeleted {}.into(),
        PresetEvent::PresetCreated(preset()).into(),
        PresetEvent::PresetUpdated(preset()).into(),
        PresetEvent::PresetDeleted {}.into(),
    ]
}
