//! Why a run ends without a result, in the words of the journal.

use crate::autoencoder::{
    activations::ActivationError, checkpoint::CheckpointError, sae_lens::AutoencoderError,
};
use crate::dataset::DatasetError;
use crate::hub::HubError;
use crate::language_model::LanguageModelError;
use crate::segmentation::SegmentationError;
use crate::tensor_file::TensorFileError;
use crate::tokenizer::TokenizerError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tch::TchError;
use trainmaster_domain::run::journal::{Failure, FailureClass};

/// Why a run ends early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The loss of a step is not a number.
    #[error("the loss of step {step} is not finite: {advice}")]
    LossNotFinite {
        /// Which step.
        step: u64,
        /// What to do.
        advice: &'static str,
    },
    /// There is nothing to train on.
    #[error("the dataset has nothing to train on: {reason}; add text to it and tokenise it again")]
    DatasetEmpty {
        /// How that showed.
        reason: String,
    },
    /// Things that belong together do not fit.
    #[error("{what}")]
    ShapeMismatch {
        /// What does not fit what, and what to do.
        what: String,
    },
    /// A file is not there.
    #[error("{path} is missing: put it back, or register what it belongs to again")]
    FileMissing {
        /// Which file.
        path: PathBuf,
    },
    /// A file ends too early or is not what its name says.
    #[error("{path} is damaged or not whole ({reason}): fetch or make it again")]
    FileTruncated {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file is not the one that was announced.
    #[error(
        "{path} has been altered since it was announced (SHA-256 {found}, announced {announced}): put it back, or go on from another"
    )]
    FileAltered {
        /// Which file or directory.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The hash it should have.
        announced: String,
    },
    /// A dataset's text is another than the one that was counted.
    #[error(
        "the files of {path} have changed since the dataset was read: put them back, or add them again as a new dataset"
    )]
    ContentChanged {
        /// Which.
        path: PathBuf,
    },
    /// No room.
    #[error(
        "no room to write {path} ({reason}): free disk space, or lift the file size limit or quota, and try again"
    )]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// No memory.
    #[error(
        "not enough memory: {reason}; lower batchSize, bufferTokens, expansionFactor or patchSize, or give the run more memory"
    )]
    OutOfMemory {
        /// Who said so.
        reason: String,
    },
    /// This trainer cannot do it.
    #[error("{what}")]
    Unsupported {
        /// What, and what it can do instead.
        what: String,
    },
    /// What reads models and datasets has put it into words already.
    #[error("{}", .0.message)]
    Reported(Failure),
    /// None of the above.
    #[error("{what}")]
    Internal {
        /// What is known of it.
        what: String,
    },
    /// Work that has nothing to keep was asked to end.
    #[error(
        "the work was asked to end before it was done, and has nothing to keep: it starts over when it is claimed again"
    )]
    Interrupted,
    /// SLURM ends the job, or gives it another turn later; what can be gone on from is saved.
    #[error("SLURM has the run leave; it goes on from its latest checkpoint")]
    Left,
    /// `spec.json` carries another lease: someone else does this work now.
    #[error("another trainer has taken over")]
    Superseded,
    /// The journal cannot be written, so nothing can be said.
    #[error("the journal cannot be written: {0}")]
    Speechless(std::io::Error),
}

impl RunError {
    /// What the journal is told; none where nothing may or can be said.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        use FailureClass::{Infrastructure, Workload};
        let (class, code) = match self {
            Self::LossNotFinite { .. } => (Workload, "loss_not_finite"),
            Self::DatasetEmpty { .. } => (Workload, "dataset_empty"),
            Self::ShapeMismatch { .. } => (Workload, "shape_mismatch"),
            Self::FileMissing { .. } => (Workload, "file_missing"),
            Self::FileTruncated { .. } => (Workload, "file_truncated"),
            Self::FileAltered { .. } => (Workload, "file_altered"),
            Self::ContentChanged { .. } => (Workload, "content_changed"),
            Self::DiskFull { .. } => (Infrastructure, "disk_full"),
            Self::OutOfMemory { .. } => (Infrastructure, "out_of_memory"),
            Self::Unsupported { .. } => (Workload, "unsupported"),
            Self::Internal { .. } | Self::Interrupted => (Infrastructure, "internal"),
            Self::Reported(failure) => return Some(failure.clone()),
            Self::Left | Self::Superseded | Self::Speechless(_) => return None,
        };
        Some(Failure {
            class,
            code: code.into(),
            message: self.to_string(),
        })
    }

    /// Of an input or output error on a file.
    #[must_use]
    pub fn of_file(path: &Path, error: &std::io::Error) -> Self {
        let path = path.to_owned();
        let reason = error.to_string();
        match error.kind() {
            ErrorKind::NotFound => Self::FileMissing { path },
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull { path, reason }
            }
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData => {
                Self::FileTruncated { path, reason }
            }
            ErrorKind::OutOfMemory => Self::OutOfMemory { reason },
            _ => Self::Internal {
                what: format!("{}: {reason}", path.display()),
            },
        }
    }

    /// Of what libtorch said while `doing` something.
    #[must_use]
    pub fn of_libtorch(doing: &str, error: &TchError) -> Self {
        let said = error.to_string();
        // libtorch's own backtrace follows the first line.
        let reason = said.lines().next().unwrap_or_default().to_owned();
        let lower = reason.to_lowercase();
        if [
            "out of memory",
            "not enough memory",
            "can't allocate memory",
        ]
        .iter()
        .any(|words| lower.contains(words))
        {
            Self::OutOfMemory {
                reason: format!("{doing}: {reason}"),
            }
        } else {
            Self::Internal {
                what: format!("libtorch failed while {doing}: {reason}"),
            }
        }
    }
}

impl From<LanguageModelError> for RunError {
    fn from(error: LanguageModelError) -> Self {
        Self::Reported(error.failure())
    }
}

impl From<DatasetError> for RunError {
    fn from(error: DatasetError) -> Self {
        Self::Reported(error.failure())
    }
}

impl From<HubError> for RunError {
    fn from(error: HubError) -> Self {
        Self::Reported(error.failure())
    }
}

impl From<TokenizerError> for RunError {
    fn from(error: TokenizerError) -> Self {
        Self::Reported(error.failure())
    }
}

impl From<TensorFileError> for RunError {
    fn from(error: TensorFileError) -> Self {
        match error {
            TensorFileError::File { path, source } => Self::of_file(&path, &source),
            TensorFileError::Damaged { path, reason } => Self::FileTruncated { path, reason },
            TensorFileError::Shape { .. } => Self::ShapeMismatch {
                what: error.to_string(),
            },
            TensorFileError::Libtorch(error) => {
                Self::of_libtorch("reading or writing tensors", &error)
            }
        }
    }
}

impl From<SegmentationError> for RunError {
    fn from(error: SegmentationError) -> Self {
        if let Some(failure) = error.failure() {
            return Self::Reported(failure);
        }
        match error {
            SegmentationError::File { path, source } => Self::of_file(&path, &source),
            SegmentationError::Weights(error) => error.into(),
            SegmentationError::Libtorch(error) => Self::of_libtorch("segmenting", &error),
            SegmentationError::Interrupted => Self::Interrupted,
            other => Self::Internal {
                what: other.to_string(),
            },
        }
    }
}

impl From<CheckpointError> for RunError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Tensors(error) => error.into(),
            CheckpointError::File { path, source } => Self::of_file(&path, &source),
            CheckpointError::Unknown { .. } => Self::Unsupported {
                what: format!(
                    "{error}; resume with the trainer that wrote it, or from another checkpoint"
                ),
            },
        }
    }
}

impl From<AutoencoderError> for RunError {
    fn from(error: AutoencoderError) -> Self {
        match error {
            AutoencoderError::File { path, source } => Self::of_file(&path, &source),
            AutoencoderError::Weights(error) => error.into(),
            AutoencoderError::Libtorch(error) => Self::of_libtorch("keeping the result", &error),
            AutoencoderError::Configuration { .. } => Self::Unsupported {
                what: error.to_string(),
            },
        }
    }
}

impl From<ActivationError> for RunError {
    fn from(error: ActivationError) -> Self {
        match error {
            ActivationError::Empty { .. } => Self::DatasetEmpty {
                reason: error.to_string(),
            },
            ActivationError::Libtorch(error) => Self::of_libtorch("mixing activations", &error),
            ActivationError::Source(source) => match source.downcast::<RunError>() {
                Ok(error) => *error,
                Err(other) => Self::Internal {
                    what: format!("reading activations failed: {other}"),
                },
            },
        }
    }
}
