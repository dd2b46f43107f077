//! All that an exact continuation needs, in two files of a directory.

use super::mixing_buffer::Cursor;
use super::normalization::Normalization;
use super::parameters::Shape;
use super::training::Training;
use crate::tensor_file::{TensorFile, TensorFileError, write_tensors};
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::training::EncoderType;

const TENSORS: &str = "state.safetensors";
const REST: &str = "state.json";
const FORMAT: u32 = 2;

/// Why a checkpoint could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The tensors could not be.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// `state.json` could not be.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `state.json` is not what it should be.
    #[error("{path} is no checkpoint of this trainer: {reason}")]
    Unknown {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// What a checkpoint holds beside tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The version of this format.
    pub format: u32,
    /// Steps that are done.
    pub step: u64,
    /// Which kind of autoencoder.
    pub encoder_type: EncoderType,
    /// Width of the activations that are read.
    pub d_in: i64,
    /// Width of those that are written.
    pub d_out: i64,
    /// Latents.
    pub d_sae: i64,
    /// The seed of the data's order and of what is resampled.
    pub seed: u64,
    /// How many passes over the language model the dataset is read in.
    pub passes: u64,
    /// How many of them the mixing buffer mixes.
    pub passes_per_block: u64,
    /// How many sequences at the end of the dataset are not trained on.
    pub held_out_sequences: u64,
    /// What the mixing buffer has served.
    pub cursor: Cursor,
    /// How activations that are read are scaled.
    pub normalization: Normalization,
    /// How those that are written are scaled, where they are others.
    pub target_normalization: Option<Normalization>,
    /// Whether matrix products are computed in bf16.
    pub bf16: bool,
}

impl State {
    /// The element type of matrix products.
    #[must_use]
    pub fn kind(&self) -> Kind {
        if self.bf16 {
            Kind::BFloat16
        } else {
            Kind::Float
        }
    }

    /// The version of the format that is written.
    pub const FORMAT: u32 = FORMAT;
}

/// Writes a checkpoint into an existing directory and syncs its files.
///
/// # Errors
/// [`CheckpointError`].
pub fn save(directory: &Path, state: &State, training: &Training) -> Result<(), CheckpointError> {
    let tensors = training.tensors();
    let tensors: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, of)| (*name, of)).collect();
    write_tensors(&directory.join(TENSORS), &tensors)?;
    let path = directory.join(REST);
    let write = || {
        let mut file = std::fs::File::create(&path)?;
        file.write_all(serde_json::to_string_pretty(state)?.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| CheckpointError::File {
        path: path.clone(),
        source,
    })
}

/// What is in a checkpoint beside tensors.
///
/// # Errors
/// [`CheckpointError`].
pub fn read_state(directory: &Path) -> Result<State, CheckpointError> {
    let path = directory.join(REST);
    let text = std::fs::read(&path).map_err(|source| CheckpointError::File {
        path: path.clone(),
        source,
    })?;
    let unknown = |reason: String| CheckpointError::Unknown {
        path: path.clone(),
        reason,
    };
    let wrong = |error: serde_json::Error| unknown(error.to_string());
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(wrong)?;
    if value["format"] != FORMAT {
        return Err(unknown(format!(
            "it has format {}, this trainer reads {FORMAT}",
            value["format"]
        )));
    }
    serde_json::from_value(value).map_err(wrong)
}

/// The training as it was.
///
/// # Errors
/// [`CheckpointError`], also when the tensors have other shapes than `state` and `hyperparameters` ask for.
pub fn load(
    directory: &Path,
    state: &State,
    hyperparameters: &Hyperparameters,
    device: Device,
) -> Result<Training, CheckpointError> {
    let file = TensorFile::open(&directory.join(TENSORS))?;
    let shape = Shape {
        d_sae: state.d_sae,
        ..Shape::of(hyperparameters, state.encoder_type, state.d_in, state.d_out)
    };
    Ok(Training::restore(
        hyperparameters,
        shape,
        state.kind(),
        state.step,
        device,
        |name, size| file.tensor(name, size),
    )?)
}
