//! Why no text is written.

use crate::commands::ErrorKind;

/// Why no text is written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GenerationRefusal {
    /// Nothing says which model.
    #[error("say which model writes: `model`, or a `preset` or `training` whose model it is")]
    NoModel,
    /// The training is of another model.
    #[error(
        "training {training} read model {read}, so its features do not steer {model}; leave the model out"
    )]
    OtherModel {
        /// The training.
        training: String,
        /// The model that it read.
        read: String,
        /// The model that was asked for.
        model: String,
    },
    /// The model is being fetched or looked at.
    #[error("model {model} is {status}; ask again when it is ready")]
    ModelNotReady {
        /// The model.
        model: String,
        /// What it is.
        status: &'static str,
    },
    /// Things that exclude each other, or need each other.
    #[error("{0}")]
    Combination(&'static str),
    /// Nothing has been trained yet.
    #[error(
        "training {training} is {status} and has no autoencoder yet; ask again when it is completed or stopped"
    )]
    NoAutoencoder {
        /// The training.
        training: String,
        /// What it is.
        status: &'static str,
    },
    /// Features that are not the training's.
    #[error(
        "training {training} has no {what} {missing:?}; extract its features, and look which there are"
    )]
    UnknownFeatures {
        /// The training.
        training: String,
        /// `feature` or `latent`.
        what: &'static str,
        /// Some of those that are missing.
        missing: Vec<i64>,
    },
    /// Features whose strength has no unit.
    #[error(
        "it is not known how active features {features:?} become, so a coefficient means nothing; extract the training's features again"
    )]
    NoMaximum {
        /// Some of them.
        features: Vec<i64>,
    },
    /// It is not clear after which layer.
    #[error("the features are of layers {layers:?}; say after which they are to be added: `layer`")]
    LayerNeeded {
        /// Those of the features.
        layers: Vec<i32>,
    },
}

impl GenerationRefusal {
    /// Stable, snake_case, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoModel | Self::Combination(_) => "invalid_field",
            Self::OtherModel { .. } => "model_mismatch",
            Self::ModelNotReady { .. } => "model_not_ready",
            Self::NoAutoencoder { .. } => "training_has_no_result",
            Self::UnknownFeatures { .. } => "feature_not_found",
            Self::NoMaximum { .. } => "feature_without_maximum",
            Self::LayerNeeded { .. } => "layer_needed",
        }
    }

    /// What kind of problem it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::ModelNotReady { .. } | Self::NoAutoencoder { .. } => ErrorKind::Refused,
            _ => ErrorKind::Invalid,
        }
    }

    /// The status that stands in the way, when it is that.
    #[must_use]
    pub const fn status(&self) -> Option<&'static str> {
        match self {
            Self::ModelNotReady { status, .. } | Self::NoAutoencoder { status, .. } => Some(status),
            _ => None,
        }
    }
}
