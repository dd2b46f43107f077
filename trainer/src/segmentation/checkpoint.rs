//! All that an exact continuation needs, in two files of a directory.

use super::error::SegmentationError;
use super::training::Training;
use super::unet::{Layout, Shape, UNet};
use crate::tensor_file::{TensorFile, write_tensors};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use tch::Device;
use trainmaster_domain::segmentation::SegmentationSettings;

const TENSORS: &str = "state.safetensors";
const REST: &str = "state.json";
const FORMAT: u32 = 1;

const PARAMETERS: &str = "parameters";
const FIRST_MOMENT: &str = "first_moment";
const SECOND_MOMENT: &str = "second_moment";

/// What a checkpoint holds beside tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The version of this format.
    pub format: u32,
    /// Steps that are done.
    pub step: u64,
    /// The network.
    pub shape: Shape,
    /// How it is trained.
    pub settings: SegmentationSettings,
    /// What it is trained on: [`super::slices::Slices::sha256`].
    pub data_sha256: String,
}

impl State {
    /// What a training is at a step.
    #[must_use]
    pub fn of(training: &Training, settings: &SegmentationSettings, data_sha256: &str) -> Self {
        Self {
            format: FORMAT,
            step: training.step,
            shape: training.network.shape(),
            settings: settings.clone(),
            data_sha256: data_sha256.to_owned(),
        }
    }
}

/// Writes a checkpoint into an existing directory and syncs its files.
///
/// # Errors
/// [`SegmentationError`].
pub fn save(directory: &Path, state: &State, training: &Training) -> Result<(), SegmentationError> {
    let tensors = [
        (PARAMETERS, &training.network.flat),
        (FIRST_MOMENT, &training.optimizer.first_moment),
        (SECOND_MOMENT, &training.optimizer.second_moment),
    ];
    write_tensors(&directory.join(TENSORS), &tensors)?;
    write_json(&directory.join(REST), state)
}

/// The training as it was.
///
/// # Errors
/// [`SegmentationError`], also when it is of other images, settings or classes than these.
pub fn load(
    directory: &Path,
    settings: &SegmentationSettings,
    shape: Shape,
    data_sha256: &str,
    device: Device,
) -> Result<Training, SegmentationError> {
    let path = directory.join(REST);
    let state: State = read_json(&path, FORMAT)?;
    if state.data_sha256 != data_sha256 {
        return Err(SegmentationError::Changed {
            what: format!(
                "images or labels have changed since the checkpoint {} was saved: put them back, or train again",
                directory.display()
            ),
        });
    }
    if state.settings != *settings || state.shape != shape {
        return Err(SegmentationError::Misfit {
            what: format!(
                "the checkpoint {} is of a training with other settings: resume with those that it began with",
                directory.display()
            ),
        });
    }
    let file = TensorFile::open(&directory.join(TENSORS))?;
    let count = Layout::of(shape).count();
    let tensor = |name: &str| -> Result<_, SegmentationError> {
        Ok(file.tensor(name, &[count])?.f_to_device(device)?)
    };
    let network = UNet::of(shape, tensor(PARAMETERS)?)?;
    let mut training = Training::of(settings, network, state.step)?;
    training.optimizer.first_moment = tensor(FIRST_MOMENT)?;
    training.optimizer.second_moment = tensor(SECOND_MOMENT)?;
    Ok(training)
}

pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), SegmentationError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(format!("{}\n", serde_json::to_string_pretty(value)?).as_bytes())?;
        file.sync_all()
    };
    write().map_err(|error| SegmentationError::of_file(path, error))
}

/// Reads what [`write_json`] wrote, if it is of the format that is known here.
pub(super) fn read_json<T: DeserializeOwned>(
    path: &Path,
    format: u32,
) -> Result<T, SegmentationError> {
    let text = std::fs::read(path).map_err(|error| SegmentationError::of_file(path, error))?;
    let damaged = |error: serde_json::Error| SegmentationError::damaged(path, error.to_string());
    let value: serde_json::Value = serde_json::from_slice(&text).map_err(damaged)?;
    if value["format"] != format {
        return Err(SegmentationError::unsupported(
            path,
            format!(
                "has format {}, and this trainer reads {format}: use the trainer that wrote it",
                value["format"]
            ),
        ));
    }
    serde_json::from_value(value).map_err(damaged)
}
