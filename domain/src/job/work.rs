//! The kinds of jobs, as they are asked for.

use crate::{
    Category, StreamId,
    hyperparameters::Hook,
    id::{DatasetId, ModelId, TrainingId},
    run::spec::{Sampling, SteeredFeature},
};
use serde::{Deserialize, Serialize};

/// What a job is to do. Everything that it needs to know is in it, so that what a preset or a template says later changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobWork {
    /// Find the features of a trained autoencoder.
    Extraction(Extraction),
    /// Write text, with and without an intervention.
    Generation(Generation),
    /// Segment images.
    Prediction(Prediction),
}

impl JobWork {
    /// Its name in JSON.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Extraction(_) => "extraction",
            Self::Generation(_) => "generation",
            Self::Prediction(_) => "prediction",
        }
    }

    /// What must not be deleted before it is done.
    #[must_use]
    pub fn needs(&self) -> Vec<StreamId> {
        let training = |id: &TrainingId| StreamId::new(Category::Training, id.as_str());
        match self {
            Self::Extraction(extraction) => vec![
                training(&extraction.training_id),
                StreamId::new(Category::Dataset, extraction.dataset_id.as_str()),
            ],
            Self::Prediction(prediction) => vec![training(&prediction.training_id)],
            Self::Generation(generation) => {
                let model = StreamId::new(Category::Model, generation.model_id.as_str());
                let steering = generation.intervention.as_ref();
                std::iter::once(model)
                    .chain(steering.map(|intervention| training(&intervention.training_id)))
                    .collect()
            }
        }
    }
}

/// Find features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Extraction {
    /// The training whose autoencoders are looked at.
    pub training_id: TrainingId,
    /// On which text; tokenised for the training's model.
    pub dataset_id: DatasetId,
    /// Only autoencoders of these layers; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<u32>>,
    /// Only autoencoders of these hooks; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook_types: Option<Vec<Hook>>,
    /// Packed sequences to read, spread over the dataset; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<u64>,
    /// Strongest examples that are kept of each feature.
    pub top_k_examples: u32,
    /// Tokens on either side of an example's strongest token.
    pub context_tokens: u32,
    /// Latents that are active on a smaller fraction of tokens are not features.
    pub minimum_frequency: f64,
    /// The first id of the block that is reserved for the training's latents.
    pub first_feature_id: i64,
    /// Ids in the block.
    pub latents: i64,
}

/// Write text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// Which model writes.
    pub model_id: ModelId,
    /// What it goes on from.
    pub prompt: String,
    /// Whether the prompt is wrapped as a user's turn of the model's chat template.
    pub chat: bool,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// The intervention; none: plain text only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervention: Option<Intervention>,
}

/// Segment images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// The model: what a segmentation training produced ([`crate::training::ModelProduced`]).
    pub model_id: String,
    /// That training.
    pub training_id: TrainingId,
    /// Which images.
    pub input: PredictionInput,
    /// The directory that the predictions are written to.
    pub output_dir: String,
}

/// Which images are to be segmented.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PredictionInput {
    /// Images, and directories of images.
    pub images: Vec<String>,
    /// Labels to compare with, named as the images are; none: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_path: Option<String>,
}

/// What is changed in the model while it writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervention {
    /// Whose features.
    pub training_id: TrainingId,
    /// The preset that it was made from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset_id: Option<String>,
    /// After which layer.
    pub layer: u32,
    /// Which features, how strongly.
    pub features: Vec<SteeredFeature>,
}
