//! Why a command is not accepted. Each has a stable code and a sentence that says what to do next.

use super::{GenerationRefusal, ImagesError, InvalidIdempotencyKey, ResolveError, SourceError};
use crate::log::{Barrier, LogError};
use trainmaster_domain::{
    Category, StreamId, cross_validation::CrossValidationRefusal, dataset::DatasetRefusal,
    feature::FeatureRefusal, hyperparameters::InvalidHyperparameter, id::InvalidId,
    job::JobRefusal, kept::KeptRefusal, model::ModelRefusal, slurm::placement::InvalidPlacement,
    training::TrainingRefusal,
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
    /// Settings of a segmentation that cannot be read.
    #[error("settings: {0}")]
    Settings(String),
    /// Images or their labels cannot be used.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// A cluster that the settings do not have.
    #[error("placement: there is no cluster {given:?}; {}", clusters(known))]
    UnknownCluster {
        /// As given.
        given: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A cluster cannot be asked for that.
    #[error("placement: {0}")]
    Placement(#[from] InvalidPlacement),
    /// The cross-validation refuses.
    #[error(transparent)]
    CrossValidation(CrossValidationRefusal),
    /// The training is of images, and something of an autoencoder is wanted.
    #[error(
        "training {0} segments images: it has no autoencoder and no features; `trainmaster predict` uses it"
    )]
    OfImages(String),
    /// The training is of an autoencoder, and images are to be segmented.
    #[error(
        "training {0} is of an autoencoder: it segments no images; `trainmaster segmentations` lists those that do"
    )]
    NotOfImages(String),
    /// No model is of that id or name.
    #[error(
        "there is no model that segments images of the id or name {given:?}; `trainmaster segmentations` lists what there is"
    )]
    NoModelOfImages {
        /// As given.
        given: String,
    },
    /// Several models are of that name.
    #[error("{given:?} is the name of several models; say which by its training: {}", trainings.join(", "))]
    SeveralModels {
        /// As given.
        given: String,
        /// Some of the trainings that they come from.
        trainings: Vec<String>,
    },
    /// There is no network yet.
    #[error(
        "training {training} is {status} and has no model yet: wait until it is completed, or stop it to keep what there is"
    )]
    NoModel {
        /// The training.
        training: String,
        /// What it is.
        status: &'static str,
    },
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
    /// A text that came in a request cannot be kept.
    #[error(
        "the text cannot be kept in {path}; make room or check the state directory's permissions"
    )]
    Text {
        /// Where.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
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
        "dataset {dataset} is tokenised for model {tokenizer_model}, not for {model}; ask for it first: `trainmaster dataset tokenize {dataset} --tokenizer {model}`"
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
    /// A template or preset refuses.
    #[error(transparent)]
    Kept(#[from] KeptRefusal),
    /// What is named has been deleted.
    #[error("{category} {id} has been deleted; its id is not used again")]
    Deleted {
        /// What it was.
        category: Category,
        /// Which.
        id: String,
        /// Whether it is what the request is about, not something that the request mentions.
        addressed: bool,
    },
    /// What is to be deleted is needed.
    #[error("{stream} is needed by {}; delete or finish them first", dependents.join(", "))]
    InUse {
        /// What is to be deleted.
        stream: StreamId,
        /// Some of what needs it.
        dependents: Vec<String>,
    },
    /// A template that fits any model or dataset does not say which.
    #[error(
        "template {template} names no {what}; say which one: `--{what}`, or `{what}` in the request"
    )]
    TemplateLacks {
        /// The template.
        template: String,
        /// `model` or `dataset`.
        what: &'static str,
    },
    /// Nothing has been extracted.
    #[error("training {0} has no features yet; extract them first")]
    NoFeatures(String),
    /// Features of something else.
    #[error("training {training} has no features {features:?}; GET /v1/features lists what it has")]
    ForeignFeatures {
        /// The training.
        training: String,
        /// Some of what it does not have.
        features: Vec<i64>,
    },
    /// No text is written.
    #[error(transparent)]
    Generation(#[from] GenerationRefusal),
    /// The job refuses.
    #[error(transparent)]
    Job(#[from] JobRefusal),
    /// The feature refuses.
    #[error(transparent)]
    Feature(FeatureRefusal),
    /// There is no autoencoder yet.
    #[error(
        "training {training} is {status} and has no autoencoder yet: wait until it is completed, or stop it to keep what there is"
    )]
    NoResult {
        /// The training.
        training: String,
        /// What it is.
        status: &'static str,
    },
    /// The dataset cannot be read yet.
    #[error(
        "dataset {dataset} is {status}: wait until it is ready (`trainmaster dataset show {dataset}`)"
    )]
    DatasetNotReady {
        /// The dataset.
        dataset: String,
        /// What it is.
        status: &'static str,
    },
    /// Nothing of the training is at the places that were named.
    #[error("training {training} has no autoencoder there: it has {}", has.join(", "))]
    NoSuchSite {
        /// The training.
        training: String,
        /// What it has.
        has: Vec<String>,
    },
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
    /// What is addressed was there, and never will be again.
    Gone,
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
        if let Some(category) = self.deleted() {
            return deleted_code(category);
        }
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
            Self::Hyperparameters(_) | Self::Settings(_) => "invalid_hyperparameter",
            Self::Images(error) => error.code(),
            Self::UnknownCluster { .. } => "unknown_cluster",
            Self::Placement(_)
            | Self::Training(TrainingRefusal::Placement(_))
            | Self::Job(JobRefusal::Placement(_))
            | Self::CrossValidation(CrossValidationRefusal::Placement(_)) => "invalid_placement",
            Self::CrossValidation(CrossValidationRefusal::Setting(_)) => "invalid_hyperparameter",
            Self::CrossValidation(CrossValidationRefusal::Absent) => "cross_validation_not_found",
            Self::CrossValidation(CrossValidationRefusal::Exists) => "already_exists",
            Self::OfImages(_) => "training_of_images",
            Self::NotOfImages(_) => "training_not_of_images",
            Self::NoModelOfImages { .. } => "model_not_found",
            Self::SeveralModels { .. } => "ambiguous_name",
            Self::NoModel { .. } => "training_without_model",
            Self::Training(TrainingRefusal::Value { .. })
            | Self::CrossValidation(CrossValidationRefusal::Value { .. }) => "invalid_field",
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
            Self::Feature(FeatureRefusal::Text { .. }) => "invalid_field",
            Self::NoResult { .. } => "training_without_result",
            Self::DatasetNotReady { .. } => "dataset_not_ready",
            Self::NoSuchSite { .. } => "no_such_site",
            Self::Dataset(DatasetRefusal::Text { .. } | DatasetRefusal::ContextLength(_))
            | Self::Model(ModelRefusal::Text { .. }) => "invalid_field",
            Self::Training(TrainingRefusal::NotAnMlp(_)) => "hook_not_mlp",
            Self::Dataset(DatasetRefusal::Hub(_)) | Self::Model(ModelRefusal::Hub(_)) => {
                "invalid_repository"
            }
            Self::Dataset(_) | Self::Model(_) | Self::Training(_) => "not_allowed",
            Self::Kept(refusal) => kept_code(refusal),
            Self::Deleted { category, .. } => deleted_code(*category),
            Self::InUse { .. } => "in_use",
            Self::TemplateLacks { what: "model", .. } => "template_needs_model",
            Self::TemplateLacks { .. } => "template_needs_dataset",
            Self::NoFeatures(_) => "training_has_no_features",
            Self::ForeignFeatures { .. } => "feature_not_of_training",
            Self::Generation(refusal) => refusal.code(),
            Self::Job(JobRefusal::Absent) => "job_not_found",
            Self::Job(JobRefusal::Exists) => "already_exists",
            Self::Job(JobRefusal::Value { .. }) => "invalid_field",
            Self::Job(_) => "not_allowed",
            Self::Conflict { .. } => "conflict",
            Self::Log(_) | Self::ReadModel { .. } | Self::Unrepresentable(_) => "internal",
            Self::Text { .. } => "text_not_kept",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.deleted().is_some() {
            return Kind::Gone;
        }
        match self {
            Self::Invalid { .. }
            | Self::Id(_)
            | Self::IdempotencyKey(_)
            | Self::IdempotencyKeyReused
            | Self::Source(_)
            | Self::Hyperparameter(_)
            | Self::Hyperparameters(_)
            | Self::Settings(_)
            | Self::Images(_)
            | Self::UnknownCluster { .. }
            | Self::Placement(_)
            | Self::OfImages(_)
            | Self::NotOfImages(_)
            | Self::NoModelOfImages { .. }
            | Self::SeveralModels { .. }
            | Self::CrossValidation(
                CrossValidationRefusal::Value { .. }
                | CrossValidationRefusal::Setting(_)
                | CrossValidationRefusal::Placement(_),
            )
            | Self::Job(JobRefusal::Placement(_))
            | Self::Layer { .. }
            | Self::Tokenizer { .. }
            | Self::Dataset(
                DatasetRefusal::Text { .. }
                | DatasetRefusal::ContextLength(_)
                | DatasetRefusal::Hub(_),
            )
            | Self::Model(ModelRefusal::Text { .. } | ModelRefusal::Hub(_))
            | Self::Feature(FeatureRefusal::Text { .. })
            | Self::NoSuchSite { .. }
            | Self::Training(
                TrainingRefusal::NotAnMlp(_)
                | TrainingRefusal::Hyperparameter(_)
                | TrainingRefusal::Placement(_)
                | TrainingRefusal::Value { .. }
                | TrainingRefusal::Id(_),
            ) => Kind::Invalid,
            Self::Resolve(error) => error.kind(),
            Self::Kept(KeptRefusal::Absent(_)) => Kind::NotFound,
            Self::Kept(KeptRefusal::Deleted(_))
            | Self::Deleted {
                addressed: true, ..
            } => Kind::Gone,
            Self::Kept(KeptRefusal::Exists(_)) => Kind::Refused,
            Self::Kept(_)
            | Self::Deleted { .. }
            | Self::TemplateLacks { .. }
            | Self::ForeignFeatures { .. } => Kind::Invalid,
            Self::NoFeatures(_) | Self::InUse { .. } => Kind::Refused,
            Self::Generation(refusal) => refusal.kind(),
            Self::Job(JobRefusal::Absent) => Kind::NotFound,
            Self::Job(JobRefusal::Value { .. }) => Kind::Invalid,
            Self::Job(_) => Kind::Refused,
            Self::Dataset(DatasetRefusal::Absent)
            | Self::Model(ModelRefusal::Absent)
            | Self::Training(TrainingRefusal::Absent)
            | Self::CrossValidation(CrossValidationRefusal::Absent) => Kind::NotFound,
            Self::CrossValidation(CrossValidationRefusal::Exists)
            | Self::NoModel { .. }
            | Self::InError { .. }
            | Self::NoResult { .. }
            | Self::DatasetNotReady { .. }
            | Self::Dataset(_)
            | Self::Model(_)
            | Self::Training(_)
            | Self::Conflict { .. } => Kind::Refused,
            Self::Log(_) | Self::ReadModel { .. } | Self::Unrepresentable(_) => Kind::Internal,
            Self::ShuttingDown | Self::Text { .. } => Kind::Unavailable,
        }
    }

    /// What was there, when the command was put to something that has been deleted.
    const fn deleted(&self) -> Option<Category> {
        match self {
            Self::Dataset(DatasetRefusal::NotAllowed { status, .. }) if is_deleted(status) => {
                Some(Category::Dataset)
            }
            Self::Model(ModelRefusal::NotAllowed { status, .. }) if is_deleted(status) => {
                Some(Category::Model)
            }
            Self::Training(TrainingRefusal::NotAllowed { status, .. }) if is_deleted(status) => {
                Some(Category::Training)
            }
            _ => None,
        }
    }

    /// The status that stands in the way, when it is that.
    #[must_use]
    pub const fn status(&self) -> Option<&'static str> {
        match self {
            Self::Dataset(DatasetRefusal::NotAllowed { status, .. })
            | Self::Model(ModelRefusal::NotAllowed { status, .. })
            | Self::Training(TrainingRefusal::NotAllowed { status, .. }) => Some(status),
            Self::Job(JobRefusal::NotAllowed { status, .. }) => Some(status),
            Self::Generation(refusal) => refusal.status(),
            Self::InError { .. } => Some("error"),
            Self::NoResult { status, .. }
            | Self::NoModel { status, .. }
            | Self::DatasetNotReady { status, .. } => Some(status),
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

impl From<CrossValidationRefusal> for CommandError {
    fn from(refusal: CrossValidationRefusal) -> Self {
        Self::CrossValidation(refusal)
    }
}

impl From<TrainingRefusal> for CommandError {
    fn from(refusal: TrainingRefusal) -> Self {
        Self::Training(refusal)
    }
}

fn clusters(known: &[String]) -> String {
    if known.is_empty() {
        "none is configured: `trainmaster config example` shows how to, or leave the placement out"
            .to_owned()
    } else {
        format!("there are: {}", known.join(", "))
    }
}

const fn is_deleted(status: &str) -> bool {
    matches!(status.as_bytes(), b"deleted")
}

impl From<Barrier> for CommandError {
    fn from(barrier: Barrier) -> Self {
        match barrier {
            Barrier::Deleted(stream) => Self::Deleted {
                category: stream.category,
                id: stream.id,
                addressed: false,
            },
            Barrier::Needed { stream, dependents } => Self::InUse { stream, dependents },
        }
    }
}

fn kept_code(refusal: &KeptRefusal) -> &'static str {
    match refusal {
        KeptRefusal::Absent("training template") => "training_template_not_found",
        KeptRefusal::Absent("extraction template") => "extraction_template_not_found",
        KeptRefusal::Absent(_) => "preset_not_found",
        KeptRefusal::Deleted("training template") => "training_template_deleted",
        KeptRefusal::Deleted("extraction template") => "extraction_template_deleted",
        KeptRefusal::Deleted(_) => "preset_deleted",
        KeptRefusal::Exists(_) => "already_exists",
        KeptRefusal::Value { .. } | KeptRefusal::Unreadable(_) | KeptRefusal::NoMark(_) => {
            "invalid_field"
        }
        KeptRefusal::Hyperparameter(_) => "invalid_hyperparameter",
    }
}

const fn deleted_code(category: Category) -> &'static str {
    match category {
        Category::Dataset => "dataset_deleted",
        Category::Model => "model_deleted",
        Category::Training => "training_deleted",
        Category::Job => "job_deleted",
        Category::Feature => "feature_deleted",
        Category::TrainingTemplate => "training_template_deleted",
        Category::ExtractionTemplate => "extraction_template_deleted",
        Category::Preset => "preset_deleted",
        Category::SlurmJob => "slurm_job_deleted",
        Category::CrossValidation => "cross_validation_deleted",
    }
}

impl From<FeatureRefusal> for CommandError {
    fn from(refusal: FeatureRefusal) -> Self {
        Self::Feature(refusal)
    }
}
