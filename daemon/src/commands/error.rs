//! Why a command is not accepted. Each has a stable code and a sentence that says what to do next.

use super::{InvalidIdempotencyKey, ResolveError, SourceError};
use crate::log::LogError;
use trainmaster_domain::{
    dataset::DatasetRefusal, hyperparameters::InvalidHyperparameter, id::InvalidId,
    model::ModelRefusal, training::TrainingRefusal,
};

/// Why a command is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A field cannot be what it is.
    #[error("{field}: {problem}")]
    Invalid {
        /// Its name in JSON.
        field: &'static str,
        /// What it must be instead.
        problem: String,
    },
    /// An id cannot be one.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// An idempotency key cannot be one.
    #[error(transparent)]
    IdempotencyKey(#[from] InvalidIdempotencyKey),
    /// The same key came with another request before.
    #[error(
        "this Idempotency-Key was used for a request with another content; use a fresh key for a new request"
    )]
    IdempotencyKeyReused,
    /// A path cannot be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A name or an id leads to nothing, or to several.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A hyperparameter is missing its mark.
    #[error(transparent)]
    Hyperparameter(#[from] InvalidHyperparameter),
    /// Hyperparameters that cannot be read.
    #[error("hyperparameters: {0}")]
    Hyperparameters(String),
    /// The layer is not one of the model's.
    #[error("layer {layer} is not one of {model}'s: it has layers 0 to {last}")]
    Layer {
        /// As given.
        layer: u32,
        /// The model.
        model: String,
        /// Its deepest layer.
        last: u64,
    },
    /// What a training needs is broken.
    #[error(
        "{what} {id} is in error; look at it with `trainmaster {what} show {id}`, then retry it"
    )]
    InError {
        /// `model` or `dataset`.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// The dataset speaks another model's tokens.
    #[error(
        "dataset {dataset} is tokenised for model {tokenizer_model}, not for {model}; add it again with model {model} as its tokenizer"
    )]
    Tokenizer {
        /// The dataset.
        dataset: String,
        /// Whose tokenizer read it.
        tokenizer_model: String,
        /// What is to be trained on.
        model: String,
    },
    /// The dataset refuses.
    #[error(transparent)]
    Dataset(DatasetRefusal),
    /// The model refuses.
    #[error(transparent)]
    Model(ModelRefusal),
    /// The training refuses.
    #[error(transparent)]
    Training(TrainingRefusal),
    /// Others changed it at the same time, again and again.
    #[error(
        "{id} was changed by others at the same time, several times over; look at it, then ask again"
    )]
    Conflict {
        /// Which.
        id: String,
    },
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The read model cannot be read.
    #[error("the read model could not be read for {attempt}")]
    ReadModel {
        /// What was looked for.
        attempt: String,
        /// What sqlx says.
        #[source]
        source: sqlx::Error,
    },
    /// A command that JSON cannot hold.
    #[error("the command cannot be written as JSON")]
    Unrepresentable(#[source] serde_json::Error),
    /// A blocking task was cancelled: the daemon is shutting down.
    #[error("the daemon is shutting down; ask again when it is back")]
    ShuttingDown,
}

/// What kind of problem it is, from which transports choose their own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was given cannot be right.
    Invalid,
    /// What is addressed is not there.
    NotFound,
    /// It could be right at another time.
    Refused,
    /// Not the caller's fault.
    Internal,
    /// Not the caller's fault, and worth another try.
    Unavailable,
}

impl CommandError {
    /// Stable, snake_case, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid_field",
            Self::Id(_) | Self::Training(TrainingRefusal::Id(_)) => "invalid_id",
            Self::IdempotencyKey(_) => "invalid_idempotency_key",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Source(error) => error.code(),
            Self::Resolve(error) => error.code(),
            Self::Hyperparameter(_) | Self::Training(TrainingRefusal::Hyperparameter(_)) => {
                "invalid_hyperparameter"
            }
            Self::Hyperparameters(_) => "invalid_hyperparameter",
            Self::Layer { .. } => "layer_out_of_range",
            Self::InError {
                what: "dataset", ..
            } => "dataset_in_error",
            Self::InError { .. } => "model_in_error",
            Self::Tokenizer { .. } => "tokenizer_mismatch",
            Self::Dataset(DatasetRefusal::Absent) => "dataset_not_found",
            Self::Model(ModelRefusal::Absent) => "model_not_found",
            Self::Training(TrainingRefusal::Absent) => "training_not_found",
            Self::Dataset(DatasetRefusal::Exists)
            | Self::Model(ModelRefusal::Exists)
            | Self::Training(TrainingRefusal::Exists) => "already_exists",
            Self::Dataset(DatasetRefusal::Text { .. } | DatasetRefusal::ContextLength(_))
            | Self::Model(ModelRefusal::Text { .. }) => "invalid_field",
            Self::Training(TrainingRefusal::NotAnMlp(_)) => "hook_not_mlp",
            Self::Dataset(_) | Self::Model(_) | Self::Training(_) => "not_allowed",
            Self::Conflict { .. } => "conflict",
            Self::Log(_) | Self::ReadModel { .. } | Self::Unrepresentable(_) => "internal",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Invalid { .. }
            | Self::Id(_)
            | Self::IdempotencyKey(_)
            | Self::IdempotencyKeyReused
            | Self::Source(_)
            | Self::Hyperparameter(_)
            | Self::Hyperparameters(_)
            | Self::Layer { .. }
            | Self::Tokenizer { .. }
            | Self::Dataset(DatasetRefusal::Text { .. } | DatasetRefusal::ContextLength(_))
            | Self::Model(ModelRefusal::Text { .. })
            | Self::Training(
                TrainingRefusal::NotAnMlp(_)
                | TrainingRefusal::Hyperparameter(_)
                | TrainingRefusal::Id(_),
            ) => Kind::Invalid,
            Self::Resolve(error) => error.kind(),
            Self::Dataset(DatasetRefusal::Absent)
            | Self::Model(ModelRefusal::Absent)
            | Self::Training(TrainingRefusal::Absent) => Kind::NotFound,
            Self::InError { .. }
            | Self::Dataset(_)
            | Self::Model(_)
            | Self::Training(_)
            | Self::Conflict { .. } => Kind::Refused,
            Self::Log(_) | Self::ReadModel { .. } | Self::Unrepresentable(_) => Kind::Internal,
            Self::ShuttingDown => Kind::Unavailable,
        }
    }

    /// The status that stands in the way, when it is that.
    #[must_use]
    pub const fn status(&self) -> Option<&'static str> {
        match self {
            Self::Dataset(DatasetRefusal::NotAllowed { status, .. })
            | Self::Model(ModelRefusal::NotAllowed { status, .. })
            | Self::Training(TrainingRefusal::NotAllowed { status, .. }) => Some(status),
            Self::InError { .. } => Some("error"),
            _ => None,
        }
    }
}

impl From<DatasetRefusal> for CommandError {
    fn from(refusal: DatasetRefusal) -> Self {
        Self::Dataset(refusal)
    }
}

impl From<ModelRefusal> for CommandError {
    fn from(refusal: ModelRefusal) -> Self {
        Self::Model(refusal)
    }
}

impl From<TrainingRefusal> for CommandError {
    fn from(refusal: TrainingRefusal) -> Self {
        Self::Training(refusal)
    }
}
