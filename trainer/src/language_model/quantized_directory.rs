//! The layout of models that were quantised here, and reading them.
//!
//! ```text
//! config.json          the model's own, with "trainmaster_quantization": { "format": 1, "quantization": "Q4", "rotary_pairs": "half_split" }
//! tokenizer.json       (and tokenizer_config.json) the model's own, or made of what its GGUF file holds
//! weights.safetensors  the weights
//! ```
//!
//! A product's weight `<name>` is `[outputs, inputs]` in every family, held as the tensors that [`Scheme::parts`] lists, named
//! `<name>.<part>`: integers and scales. Where rows do not fill whole blocks, and in `FP16` and `FP32`, it is a tensor `<name>` of f16
//! or f32. Embedding, learned positions and unembedding are f16 (f32 in `FP32`), tied ones there once; norms and biases are f32.
//! `rotary_pairs` says how rows of queries and keys lie: `half_split` as Hugging Face has them, or `interleaved` as GGUF.

use super::{
    LanguageModelError, ModelConfig, hugging_face,
    quantized_weight::{QuantizedWeight, Scheme},
    safetensors_file::SafetensorsFile,
};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::model::Quantization;

/// The file of the weights.
pub(super) const WEIGHTS: &str = "weights.safetensors";
/// The field of `config.json`.
pub(super) const MARK: &str = "trainmaster_quantization";
/// The layout's number.
pub(super) const FORMAT: u32 = 1;

/// What `config.json` says of the quantisation.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) format: u32,
    pub(super) quantization: Quantization,
    pub(super) rotary_pairs: RotaryPairs,
}

/// How rows of queries and keys lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RotaryPairs {
    HalfSplit,
    Interleaved,
}

/// A model that was quantised here, its header read.
pub struct QuantizedDirectory {
    path: PathBuf,
    config: ModelConfig,
    mark: Mark,
    file: SafetensorsFile,
    disk_size_bytes: u64,
}

impl QuantizedDirectory {
    /// Opens the directory, if it is of this layout.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, LanguageModelError> {
        let config_path = path.join("config.json");
        let malformed = |detail: String| LanguageModelError::FileMalformed {
            path: config_path.clone(),
            detail,
        };
        let json: serde_json::Value = serde_json::from_str(&hugging_face::read_text(&config_path)?)
            .map_err(|error| malformed(error.to_string()))?;
        let Some(mark) = json.get(MARK) else {
            return Ok(None);
        };
        if mark.get("format").and_then(serde_json::Value::as_u64) != Some(FORMAT.into()) {
            return Err(LanguageModelError::Unsupported {
                path: path.to_owned(),
                detail: format!(
                    "its layout is not the one that is known here (format {FORMAT}); quantise the model again"
                ),
            });
        }
        let mark = Mark::deserialize(mark).map_err(|error| malformed(error.to_string()))?;
        let files = std::fs::read_dir(path).map_err(|source| LanguageModelError::FileMissing {
            path: path.to_owned(),
            source,
        })?;
        let disk_size_bytes = files
            .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()))
            .sum();
        Ok(Some(Self {
            path: path.to_owned(),
            config: hugging_face::read_config(path)?,
            mark,
            file: SafetensorsFile::open(&path.join(WEIGHTS))?,
            disk_size_bytes,
        }))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Bytes of its files.
    pub fn disk_size_bytes(&self) -> u64 {
        self.disk_size_bytes
    }

    /// How its weights are held.
    pub fn quantization(&self) -> Quantization {
        self.mark.quantization
    }

    pub(super) fn pairs_are_interleaved(&self) -> bool {
        self.mark.rotary_pairs == RotaryPairs::Interleaved
    }

    /// The scheme of the weight `name`, where it is held as integers.
    pub(super) fn scheme(&self, name: &str) -> Option<Scheme> {
        let scheme = Scheme::of(self.mark.quantization)?;
        self.file.find(name).is_none().then_some(scheme)
    }

    /// The shape of a weight, of one held as integers that of what it stands for.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<i64>> {
        if let Some((shape, _)) = self.file.find(name) {
            return Some(shape);
        }
        let scheme = Scheme::of(self.mark.quantization)?;
        let (integers, _, _) = scheme.parts(0, 0).into_iter().next()?;
        let (mut shape, _) = self.file.find(&format!("{name}.{integers}"))?;
        if scheme == Scheme::Q4 {
            *shape.last_mut()? *= 2;
        }
        Some(shape)
    }

    /// A weight that is a tensor of numbers.
    pub(super) fn weight(
        &self,
        name: &str,
        shape: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        self.file.weight(name, shape, kind, device)
    }

    /// A weight of `[outputs, inputs]` that is held as integers.
    pub(super) fn quantized(
        &self,
        scheme: Scheme,
        name: &str,
        [outputs, inputs]: [i64; 2],
        device: Device,
    ) -> Result<QuantizedWeight, LanguageModelError> {
        let parts = scheme.parts(outputs, inputs).into_iter();
        let parts = parts
            .map(|(part, kind, shape)| self.part(&format!("{name}.{part}"), kind, &shape, device))
            .collect::<Result<_, _>>()?;
        Ok(QuantizedWeight {
            scheme,
            parts,
            outputs,
            inputs,
        })
    }

    fn part(
        &self,
        name: &str,
        kind: Kind,
        shape: &[i64],
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        match self.file.find(name) {
            Some((found, Some(stored))) if found == shape && stored == kind => {
                self.file.weight(name, shape, kind, device)
            }
            Some((found, _)) => Err(LanguageModelError::ShapeMismatch {
                path: self.path.clone(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                found,
            }),
            None => Err(LanguageModelError::WeightMissing {
                path: self.path.clone(),
                tensor: name.to_owned(),
            }),
        }
    }
}
