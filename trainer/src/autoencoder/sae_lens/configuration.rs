//! What the `cfg.json` of a directory says, of any version of SAELens.

use super::{AutoencoderError, CONFIGURATION};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use trainmaster_domain::training::EncoderType;

/// What SAELens calls what it takes for latents, beside the kind of encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Latents {
    Relu,
    TopK,
    /// A BatchTopK (or Matryoshka) autoencoder in training: one threshold for all.
    BatchTopK,
    JumpRelu,
    Gated,
}

const ARCHITECTURES: [(&str, EncoderType, Latents); 14] = [
    ("standard", EncoderType::Sparse, Latents::Relu),
    ("topk", EncoderType::Sparse, Latents::TopK),
    ("batchtopk", EncoderType::Sparse, Latents::BatchTopK),
    (
        "matryoshka_batchtopk",
        EncoderType::Sparse,
        Latents::BatchTopK,
    ),
    ("jumprelu", EncoderType::Sparse, Latents::JumpRelu),
    ("gated", EncoderType::Sparse, Latents::Gated),
    ("transcoder", EncoderType::Transcoder, Latents::Relu),
    ("topk_transcoder", EncoderType::Transcoder, Latents::TopK),
    (
        "jumprelu_transcoder",
        EncoderType::Transcoder,
        Latents::JumpRelu,
    ),
    ("gated_transcoder", EncoderType::Transcoder, Latents::Gated),
    ("skip_transcoder", EncoderType::Skip, Latents::Relu),
    ("topk_skip_transcoder", EncoderType::Skip, Latents::TopK),
    (
        "jumprelu_skip_transcoder",
        EncoderType::Skip,
        Latents::JumpRelu,
    ),
    ("gated_skip_transcoder", EncoderType::Skip, Latents::Gated),
];

/// A `cfg.json`.
pub(super) struct Configuration {
    path: PathBuf,
    pub fields: Map<String, Value>,
}

impl Configuration {
    pub(super) fn read(directory: &Path) -> Result<Self, AutoencoderError> {
        let path = directory.join(CONFIGURATION);
        Ok(Self {
            fields: read_object(&path)?,
            path,
        })
    }

    pub(super) fn wrong(&self, reason: String) -> AutoencoderError {
        AutoencoderError::Configuration {
            path: self.path.clone(),
            reason,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        self.fields.get(name).and_then(Value::as_bool)
    }

    pub(super) fn size(&self, name: &str) -> Result<i64, AutoencoderError> {
        self.fields
            .get(name)
            .and_then(Value::as_i64)
            .filter(|size| *size > 0)
            .ok_or_else(|| self.wrong(format!("{name:?} is not a positive number")))
    }

    /// Of SAELens before version 6 (`activation_fn_str`), too.
    pub(super) fn architecture(&self) -> Result<(EncoderType, Latents), AutoencoderError> {
        let name = self.text("architecture").unwrap_or("standard");
        let function = self
            .text("activation_fn")
            .or_else(|| self.text("activation_fn_str"))
            .unwrap_or("relu");
        let known = ARCHITECTURES.iter().find(|(known, ..)| *known == name);
        match (known, function) {
            (Some((_, encoder_type, Latents::Relu)), "topk") => Ok((*encoder_type, Latents::TopK)),
            (Some((_, encoder_type, latents)), "relu") => Ok((*encoder_type, *latents)),
            (Some((_, encoder_type, Latents::TopK)), _) => Ok((*encoder_type, Latents::TopK)),
            (Some(_), _) => Err(self.wrong(format!(
                "activation function {function:?} cannot be read; \"relu\" and \"topk\" can"
            ))),
            (None, _) => {
                let names: Vec<&str> = ARCHITECTURES.iter().map(|(name, ..)| *name).collect();
                Err(self.wrong(format!(
                    "architecture {name:?} cannot be read; these can: {}",
                    names.join(", ")
                )))
            }
        }
    }

    pub(super) fn k(&self) -> Result<i64, AutoencoderError> {
        let before_6 = self
            .fields
            .get("activation_fn_kwargs")
            .and_then(|of| of.get("k"))
            .and_then(Value::as_i64);
        match before_6 {
            Some(k) if k > 0 => Ok(k),
            _ => self.size("k"),
        }
    }

    pub(super) fn normalization(&self) -> &str {
        match self.fields.get("normalize_activations") {
            Some(Value::String(name)) => name,
            // Before version 6 it could be yes or no.
            Some(Value::Bool(true)) => "expected_average_only_in",
            _ => "none",
        }
    }
}

/// A file that holds one JSON object.
pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>, AutoencoderError> {
    let text = std::fs::read(path).map_err(|source| AutoencoderError::File {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|error| AutoencoderError::Configuration {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
