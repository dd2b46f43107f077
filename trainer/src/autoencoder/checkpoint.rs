//! All that an exact continuation needs, in two files of a directory.

use super::mixing_buffer::Cursor;
use super::normalization::Normalization;
use super::parameters::Parameters;
use super::tensor_file::{TensorFile, TensorFileError, write_tensors};
use super::training::Training;
use serde::{Deserialize, Serialize};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;

const TENSORS: &str = "state.safetensors";
const REST: &str = "state.json";
const FORMAT: u32 = 1;

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
    /// Width of the activations.
    pub d_in: i64,
    /// Latents.
    pub d_sae: i64,
    /// The seed of the data's order. (Nothing else random is drawn once training has begun.)
    pub seed: u64,
    /// How many sequences the dataset has.
    pub sequences: u64,
    /// How many of them the mixing buffer mixes.
    pub sequences_per_block: u64,
    /// What the mixing buffer has served.
    pub cursor: Cursor,
    /// How activations are scaled.
    pub normalization: Normalization,
    /// Whether matrix products are computed in bf16.
    pub bf16: bool,
}

impl State {
    /// Of a training that has done `step` steps; see the fields.
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
    write_tensors(
        &directory.join(TENSORS),
        &[
            ("parameters", &training.parameters.flat),
            ("first_moment", &training.optimizer.first_moment),
            ("second_moment", &training.optimizer.second_moment),
            ("since_fired", &training.since_fired),
        ],
    )?;
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
    let state: State = serde_json::from_slice(&text).map_err(|error| unknown(error.to_string()))?;
    if state.format == FORMAT {
        Ok(state)
    } else {
        Err(unknown(format!(
            "it has format {}, this trainer reads {FORMAT}",
            state.format
        )))
    }
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
    let (d, n) = (state.d_in, state.d_sae);
    let count = Parameters::count(d, n);
    let tensor = |name: &str, size: i64| -> Result<Tensor, TensorFileError> {
        Ok(file.tensor(name, &[size])?.f_to_device(device)?)
    };
    let flat = tensor("parameters", count)?;
    let parameters = Parameters::of(flat, d, n).map_err(TensorFileError::from)?;
    let mut training =
        Training::new(hyperparameters, parameters, state.kind()).map_err(TensorFileError::from)?;
    let second = training.optimizer.second_moment.numel() as i64;
    training.optimizer.first_moment = tensor("first_moment", count)?;
    training.optimizer.second_moment = tensor("second_moment", second)?;
    training.since_fired = tensor("since_fired", n)?;
    training.step = state.step;
    Ok(training)
}
