//! A trained network as a directory that describes itself: `model.safetensors` and `config.json`.

use super::checkpoint::{read_json, write_json};
use super::error::SegmentationError;
use super::unet::{Layout, Shape, UNet};
use super::windows::Windows;
use crate::tensor_file::{TensorFile, write_tensors};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tch::{Device, Tensor};

const WEIGHTS: &str = "model.safetensors";
const CONFIG: &str = "config.json";
const FORMAT: u32 = 1;

/// Pixels that go through a network at once, if one window has not more.
const PIXELS_AT_ONCE: u32 = 8 * 128 * 128;

/// The most channels of a level that are believed of a file.
const WIDEST: i64 = 1 << 15;

/// What a network is, and what is to be done to images before it sees them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The version of this format.
    pub format: u32,
    /// `unet`: two-dimensional, 3×3 convolutions without bias, GroupNorm of up to 8 groups, leaky ReLU of 0.01, maxima of 2×2 down,
    /// transposed 2×2 convolutions up.
    pub architecture: String,
    /// Its measures.
    pub shape: Shape,
    /// Height and width of what it was trained on, and of the windows that it is to see.
    pub patch_size: u32,
    /// `image`: each channel of an image, over all its slices, has mean 0 and standard deviation 1.
    pub normalization: String,
    /// Steps that it was trained.
    pub steps: u64,
    /// What it was trained on and held out: the SHA-256 of `<sha256 of file>  <file name>\n` of each image and its labels in turn.
    pub data_sha256: String,
    /// Names (without ending) of the images that it has not seen.
    pub held_out: Vec<String>,
    /// The version of the trainer.
    pub trainer_version: String,
}

impl Config {
    /// Of a network that was trained here.
    #[must_use]
    pub fn new(
        shape: Shape,
        patch_size: u32,
        steps: u64,
        data_sha256: &str,
        held_out: Vec<String>,
    ) -> Self {
        Self {
            format: FORMAT,
            architecture: "unet".into(),
            shape,
            patch_size,
            normalization: "image".into(),
            steps,
            data_sha256: data_sha256.to_owned(),
            held_out,
            trainer_version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// How whole slices are segmented.
    #[must_use]
    pub fn windows(&self, overlapping: bool) -> Windows {
        Windows {
            size: self.patch_size as usize,
            at_once: (PIXELS_AT_ONCE / (self.patch_size * self.patch_size).max(1)).max(1) as usize,
            overlapping,
        }
    }

    /// Refuses what would be no network, before memory is asked for it.
    fn check(&self, path: &Path) -> Result<(), SegmentationError> {
        let Shape {
            channels,
            classes,
            base_channels,
            depth,
        } = self.shape;
        let plausible = (1..=3).contains(&channels)
            && (2..=255).contains(&classes)
            && (0..=6).contains(&depth)
            && base_channels >= 1
            && base_channels <= WIDEST >> depth
            && (1..=2_048).contains(&self.patch_size)
            && i64::from(self.patch_size) % self.shape.multiple() == 0;
        if plausible && self.architecture == "unet" && self.normalization == "image" {
            return Ok(());
        }
        Err(SegmentationError::unsupported(
            path,
            "describes no network that this trainer knows: use the trainer that wrote it",
        ))
    }
}

/// Writes a network into an existing directory and syncs its files.
///
/// # Errors
/// [`SegmentationError`].
pub fn save(directory: &Path, network: &UNet, config: &Config) -> Result<(), SegmentationError> {
    let named = network.named()?;
    let named: Vec<(&str, &Tensor)> = named.iter().map(|(name, of)| (name.as_str(), of)).collect();
    write_tensors(&directory.join(WEIGHTS), &named)?;
    write_json(&directory.join(CONFIG), config)
}

/// Reads what [`save`] wrote.
///
/// # Errors
/// [`SegmentationError`].
pub fn load(directory: &Path, device: Device) -> Result<(UNet, Config), SegmentationError> {
    let path = directory.join(CONFIG);
    let config: Config = read_json(&path, FORMAT)?;
    config.check(&path)?;
    let file = TensorFile::open(&directory.join(WEIGHTS))?;
    let layout = Layout::of(config.shape);
    let mut flat = Vec::with_capacity(layout.weights().len());
    for weight in layout.weights() {
        let tensor = file.tensor(&weight.name, &weight.size)?;
        flat.push(tensor.f_to_kind(UNet::KIND)?.f_view([-1])?);
    }
    let flat = Tensor::f_cat(&flat, 0)?.f_to_device(device)?;
    Ok((UNet::of(config.shape, flat)?, config))
}
