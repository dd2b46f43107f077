//! Where weights come from: a GGUF file, a Hugging Face directory or one that was quantised here, behind one interface.

use super::{
    Family, LanguageModelError, ModelConfig,
    gguf::Gguf,
    hugging_face::{HuggingFace, read_text},
    plan::{Plan, Product},
    quantized_directory::QuantizedDirectory,
    quantized_weight::{QuantizedWeight, Scheme},
};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// The files of a model, opened; weights are read from them one at a time, by their Hugging Face names.
pub enum Checkpoint {
    /// A GGUF file.
    Gguf(Box<Gguf>),
    /// A directory of `config.json`, safetensors and `tokenizer.json`.
    HuggingFace(Box<HuggingFace>),
    /// A directory that [`super::quantize()`] wrote.
    Quantized(Box<QuantizedDirectory>),
}

impl Checkpoint {
    /// Opens a GGUF file, a Hugging Face directory, one that was quantised here, or a directory that holds exactly one GGUF file.
    ///
    /// # Errors
    /// Anything missing, truncated, malformed or not of a family that can be run.
    pub fn open(path: &Path) -> Result<Self, LanguageModelError> {
        let missing = |source| LanguageModelError::FileMissing {
            path: path.to_owned(),
            source,
        };
        let metadata = std::fs::metadata(path).map_err(missing)?;
        if metadata.is_file() {
            return Ok(Self::Gguf(Box::new(Gguf::open(path)?)));
        }
        if path.join("config.json").exists() {
            if let Some(directory) = QuantizedDirectory::open(path)? {
                return Ok(Self::Quantized(Box::new(directory)));
            }
            return Ok(Self::HuggingFace(Box::new(HuggingFace::open(path)?)));
        }
        match only_gguf_in(path).map_err(missing)? {
            Some(file) => Ok(Self::Gguf(Box::new(Gguf::open(&file)?))),
            None => Err(LanguageModelError::Unsupported {
                path: path.to_owned(),
                detail: "the directory has neither a config.json nor exactly one .gguf file; \
                         name a GGUF file, or the directory of a Hugging Face model"
                    .to_owned(),
            }),
        }
    }

    /// What was opened: the file, or the directory.
    pub fn path(&self) -> &Path {
        match self {
            Self::Gguf(file) => file.path(),
            Self::HuggingFace(directory) => directory.path(),
            Self::Quantized(directory) => directory.path(),
        }
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        match self {
            Self::Gguf(file) => file.config(),
            Self::HuggingFace(directory) => directory.config(),
            Self::Quantized(directory) => directory.config(),
        }
    }

    /// Bytes of all its files.
    pub fn disk_size_bytes(&self) -> u64 {
        match self {
            Self::Gguf(file) => file.disk_size_bytes(),
            Self::HuggingFace(directory) => directory.disk_size_bytes(),
            Self::Quantized(directory) => directory.disk_size_bytes(),
        }
    }

    /// Which weights the model consists of, and how they are stored.
    pub(crate) fn plan(&self) -> Plan {
        let plan = Family::plan(self.config());
        match self {
            Self::Gguf(_) | Self::HuggingFace(_) => plan,
            Self::Quantized(_) => plan.outputs_first(),
        }
    }

    /// The fields of a `config.json` that describes the model.
    pub(super) fn config_json(&self) -> Result<Map<String, Value>, LanguageModelError> {
        match self {
            Self::Gguf(file) => Ok(file.config().to_llama_json()),
            Self::HuggingFace(_) | Self::Quantized(_) => {
                let path = self.path().join("config.json");
                serde_json::from_str(&read_text(&path)?).map_err(|error| {
                    LanguageModelError::FileMalformed {
                        path,
                        detail: error.to_string(),
                    }
                })
            }
        }
    }

    /// A product's weight that is held as integers.
    pub(super) fn quantized(
        &self,
        product: &Product,
        device: Device,
    ) -> Result<Option<QuantizedWeight>, LanguageModelError> {
        let name = product.weight();
        let Self::Quantized(directory) = self else {
            return Ok(None);
        };
        let Some(scheme) = directory.scheme(&name) else {
            return Ok(None);
        };
        let shape = product.stored_shape();
        self.check(&name, &shape)?;
        directory.quantized(scheme, &name, shape, device).map(Some)
    }

    /// The scheme in which the weight `name` is held as integers.
    pub(super) fn scheme(&self, name: &str) -> Option<Scheme> {
        match self {
            Self::Quantized(directory) => directory.scheme(name),
            Self::Gguf(_) | Self::HuggingFace(_) => None,
        }
    }

    /// Whether products' weights are held as integers.
    pub(super) fn has_integers(&self) -> bool {
        matches!(self, Self::Quantized(directory) if Scheme::of(directory.quantization()).is_some())
    }

    /// What tables are held in where products are computed in `kind`: in a model of integers, as they are stored.
    pub(super) fn table_kind(&self, kind: Kind) -> Kind {
        if self.has_integers() {
            Kind::Half
        } else {
            kind
        }
    }

    /// The kind that most weights (by number of elements) are stored in, as the product's documents name it.
    pub(crate) fn quantization(&self) -> String {
        match self {
            Self::Gguf(file) => file.quantization(),
            Self::HuggingFace(directory) => directory.quantization(),
            Self::Quantized(directory) => directory.quantization().as_str().to_owned(),
        }
    }

    /// Whether rows of queries and keys are in the order that [`super::rotary`] wants them in.
    pub(crate) fn pairs_are_interleaved(&self) -> bool {
        match self {
            Self::Gguf(_) => true,
            Self::HuggingFace(_) => false,
            Self::Quantized(directory) => directory.pairs_are_interleaved(),
        }
    }

    /// Checks that there is a weight `name` (as Hugging Face names it) of this shape.
    pub(crate) fn check(&self, name: &str, shape: &[i64]) -> Result<(), LanguageModelError> {
        let found = match self {
            Self::Gguf(file) => file.shape(name),
            Self::HuggingFace(directory) => directory.shape(name),
            Self::Quantized(directory) => directory.shape(name),
        };
        match found {
            Some(found) if found == shape => Ok(()),
            Some(found) => Err(LanguageModelError::ShapeMismatch {
                path: self.path().to_owned(),
                tensor: name.to_owned(),
                expected: shape.to_vec(),
                found,
            }),
            None => Err(LanguageModelError::WeightMissing {
                path: self.path().to_owned(),
                tensor: name.to_owned(),
            }),
        }
    }

    /// The weight `name` (as Hugging Face names it), which must have `shape`, as `kind` on `device`.
    pub(crate) fn weight(
        &self,
        name: &str,
        shape: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        self.check(name, shape)?;
        match self {
            Self::Gguf(file) => file.weight(name, shape, kind, device),
            Self::HuggingFace(directory) => directory.weight(name, shape, kind, device),
            Self::Quantized(directory) => directory.weight(name, shape, kind, device),
        }
    }
}

/// The GGUF file of a directory that has exactly one.
pub(crate) fn only_gguf_in(directory: &Path) -> std::io::Result<Option<PathBuf>> {
    let mut found = None;
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"))
            && found.replace(path).is_some()
        {
            return Ok(None);
        }
    }
    Ok(found)
}
