//! What can be wrong with images, their labels, and networks that were kept.

use crate::tensor_file::TensorFileError;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tch::TchError;
use trainmaster_domain::run::journal::{Failure, FailureClass};

/// Why images could not be read, or segmented.
#[derive(Debug, thiserror::Error)]
pub enum SegmentationError {
    /// The operating system refused.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file ends too early, or is not what its name says.
    #[error("{path} is damaged or not whole ({reason}): fetch or make it again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An image of a kind that is not read.
    #[error("{path} {what}")]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What it is, and what to do.
        what: String,
    },
    /// Things that belong together do not fit.
    #[error("{what}")]
    Misfit {
        /// What does not fit what, and what to do.
        what: String,
    },
    /// A pixel is no number, or no class.
    #[error("{path} has {value} at {place}: {advice}")]
    Pixel {
        /// Which file.
        path: PathBuf,
        /// What is there.
        value: String,
        /// Where.
        place: String,
        /// What to do.
        advice: String,
    },
    /// There is nothing to train on.
    #[error("{what}")]
    Empty {
        /// What there is not, and what to do.
        what: String,
    },
    /// An image has no labels.
    #[error(
        "{image} has no labels: put a file called {stem}.nii.gz, {stem}.nii or {stem}.png into {labels}"
    )]
    NoLabels {
        /// The image.
        image: PathBuf,
        /// What its labels would be called.
        stem: String,
        /// Where they would be.
        labels: PathBuf,
    },
    /// What was read before is another now.
    #[error("{what}")]
    Changed {
        /// What, and what to do.
        what: String,
    },
    /// A file of weights could not be read or written.
    #[error(transparent)]
    Weights(#[from] TensorFileError),
    /// libtorch failed.
    #[error("libtorch failed: {0}")]
    Libtorch(#[from] TchError),
    /// Whoever waits for it wants it no longer.
    #[error("it was asked to end")]
    Interrupted,
}

impl SegmentationError {
    /// Of an input or output error on a file.
    #[must_use]
    pub fn of_file(path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                Self::Damaged {
                    path: path.to_owned(),
                    reason: source.to_string(),
                }
            }
            _ => Self::File {
                path: path.to_owned(),
                source,
            },
        }
    }

    pub(super) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    /// In the words of the journal, where it is the images' fault.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        let code = match self {
            Self::Damaged { .. } => "file_truncated",
            Self::Unsupported { .. } => "unsupported",
            Self::Misfit { .. } => "shape_mismatch",
            Self::Pixel { .. } => "pixel_invalid",
            Self::Empty { .. } => "dataset_empty",
            Self::NoLabels { .. } => "file_missing",
            Self::Changed { .. } => "content_changed",
            Self::File { .. } | Self::Weights(_) | Self::Libtorch(_) | Self::Interrupted => {
                return None;
            }
        };
        Some(Failure {
            class: FailureClass::Workload,
            code: code.into(),
            message: self.to_string(),
        })
    }
}
