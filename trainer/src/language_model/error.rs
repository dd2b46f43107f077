//! What can go wrong with a language model.

use std::path::PathBuf;
use trainmaster_domain::run::journal::{Failure, FailureClass};

/// A language model could not be read or run.
#[derive(Debug, thiserror::Error)]
pub enum LanguageModelError {
    /// A file that the model consists of is not there or cannot be opened.
    #[error(
        "the model file {path} cannot be opened ({source}); check the path that the model was registered with and its permissions"
    )]
    FileMissing {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file ends before what its header promises.
    #[error(
        "the model file {path} is truncated ({detail}); fetch it again and compare its size with the source's"
    )]
    FileTruncated {
        /// Which.
        path: PathBuf,
        /// Where.
        detail: String,
    },
    /// A file is not what its name or header says.
    #[error(
        "the model file {path} cannot be read ({detail}); fetch it again, or register another model"
    )]
    FileMalformed {
        /// Which.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A model that this program does not know how to run.
    #[error("the model at {path} is not supported: {detail}")]
    Unsupported {
        /// Which.
        path: PathBuf,
        /// What about it, and what would be.
        detail: String,
    },
    /// The model is not what it was registered as.
    #[error(
        "the model at {path} was registered with {what} {registered}, but its files have {found}; register it again as what it is"
    )]
    RegisteredOtherwise {
        /// Which.
        path: PathBuf,
        /// `architecture` or `quantization`.
        what: &'static str,
        /// What was registered.
        registered: String,
        /// What was found.
        found: String,
    },
    /// A weight has another shape than the model's configuration gives it.
    #[error(
        "the weight {tensor} of {path} has shape {found:?}, where its configuration asks for {expected:?}; the files do not belong together"
    )]
    ShapeMismatch {
        /// Of which model.
        path: PathBuf,
        /// Which weight.
        tensor: String,
        /// By configuration.
        expected: Vec<i64>,
        /// In the file.
        found: Vec<i64>,
    },
    /// A weight that the configuration asks for is in none of the files.
    #[error(
        "the model at {path} has no weight {tensor}; the download is incomplete, or it is not of the family that its configuration names"
    )]
    WeightMissing {
        /// Of which model.
        path: PathBuf,
        /// Which weight.
        tensor: String,
    },
    /// A layer that the model (or what was loaded of it) does not have.
    #[error(
        "layer {layer} was asked for, but the model has layers 0 to {last}; choose one of them"
    )]
    NoSuchLayer {
        /// Asked for.
        layer: usize,
        /// The deepest there is.
        last: usize,
    },
    /// More positions than there is room for.
    #[error(
        "a sequence of {length} positions was asked for, where there are {longest}; shorten it"
    )]
    TooLong {
        /// Asked for.
        length: i64,
        /// The most there can be.
        longest: i64,
    },
    /// Whoever watches the loading asked to end it.
    #[error("loading the model was cancelled")]
    Cancelled,
    /// A file could not be written.
    #[error(
        "{path} cannot be written ({source}); free disk space or check permissions, and try again"
    )]
    NotWritten {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// libtorch refused an operation.
    #[error("libtorch could not {doing}: {detail}")]
    Torch {
        /// What was attempted.
        doing: &'static str,
        /// The first line of what it said.
        detail: String,
    },
}

impl LanguageModelError {
    /// An error of libtorch while `doing` something; only the first line of its message, which is the one without addresses.
    pub(crate) fn torch(doing: &'static str) -> impl Fn(tch::TchError) -> Self {
        move |error| {
            let text = error.to_string();
            Self::Torch {
                doing,
                detail: text.lines().next().unwrap_or_default().to_owned(),
            }
        }
    }

    /// The stable code of the journal.
    pub fn code(&self) -> &'static str {
        match self {
            Self::FileMissing { .. } => "file_missing",
            Self::FileTruncated { .. } => "file_truncated",
            Self::FileMalformed { .. } => "file_malformed",
            Self::Unsupported { .. } => "unsupported",
            Self::RegisteredOtherwise { .. } => "registered_otherwise",
            Self::ShapeMismatch { .. } => "shape_mismatch",
            Self::WeightMissing { .. } => "weight_missing",
            Self::NoSuchLayer { .. } => "no_such_layer",
            Self::TooLong { .. } => "sequence_too_long",
            Self::Cancelled => "cancelled",
            Self::NotWritten { source, .. } if is_full(source) => "disk_full",
            Self::NotWritten { .. } => "internal",
            Self::Torch { detail, .. } if speaks_of_memory(detail) => "out_of_memory",
            Self::Torch { .. } => "internal",
        }
    }

    /// The same as a line of the journal. Only what libtorch says, or what cannot be written, may be different at another attempt.
    pub fn failure(&self) -> Failure {
        let class = match self {
            Self::Torch { .. } | Self::Cancelled | Self::NotWritten { .. } => {
                FailureClass::Infrastructure
            }
            _ => FailureClass::Workload,
        };
        Failure {
            class,
            code: self.code().to_owned(),
            message: self.to_string(),
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// libtorch has no error code for it: the CPU's allocator says "not enough memory", CUDA's "out of memory".
fn speaks_of_memory(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("not enough memory")
        || message.contains("out of memory")
        || message.contains("can't allocate memory")
}
