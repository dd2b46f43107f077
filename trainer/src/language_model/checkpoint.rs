//! Where weights come from: a GGUF file or a Hugging Face directory, behind one interface.

use super::{
    Family, LanguageModelError, ModelConfig, gguf::Gguf, hugging_face::HuggingFace, plan::Plan,
};
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};

/// The files of a model, opened; weights are read from them one at a time, by their Hugging Face names.
pub enum Checkpoint {
    /// A GGUF file.
    Gguf(Box<Gguf>),
    /// A directory of `config.json`, safetensors and `tokenizer.json`.
    HuggingFace(Box<HuggingFace>),
}

impl Checkpoint {
    /// Opens a GGUF file, a Hugging Face directory, or a directory that holds exactly one GGUF file.
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
        }
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        match self {
            Self::Gguf(file) => file.config(),
            Self::HuggingFace(directory) => directory.config(),
        }
    }

    /// Bytes of all its files.
    pub fn disk_size_bytes(&self) -> u64 {
        match self {
            Self::Gguf(file) => file.disk_size_bytes(),
            Self::HuggingFace(directory) => directory.disk_size_bytes(),
        }
    }

    /// Which weights the model consists of.
    pub(crate) fn plan(&self) -> Plan {
        Family::plan(self.config())
    }

    /// The kind that most weights (by number of elements) are stored in, as the product's documents name it.
    pub(crate) fn quantization(&self) -> String {
        match self {
            Self::Gguf(file) => file.quantization(),
            Self::HuggingFace(directory) => directory.quantization(),
        }
    }

    /// Whether rows of queries and keys are in the order that [`super::rotary`] wants them in.
    pub(crate) fn pairs_are_interleaved(&self) -> bool {
        matches!(self, Self::Gguf(_))
    }

    /// Checks that there is a weight `name` (as Hugging Face names it) of this shape.
    pub(crate) fn check(&self, name: &str, shape: &[i64]) -> Result<(), LanguageModelError> {
        let found = match self {
            Self::Gguf(file) => file.shape(name),
            Self::HuggingFace(directory) => directory.shape(name),
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
