//! Models in Hugging Face directories: `config.json`, one or more safetensors files, `tokenizer.json`.

use super::{
    Family, LanguageModelError, ModelConfig, config::ConfigFault, safetensors_file::SafetensorsFile,
};
use safetensors::Dtype;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};

/// A Hugging Face directory, the headers of its files read.
pub struct HuggingFace {
    path: PathBuf,
    config: ModelConfig,
    shards: Vec<SafetensorsFile>,
    /// Where each weight is, by the name that its family gives it: the shard's index and the name there.
    weights: HashMap<String, (usize, String)>,
    disk_size_bytes: u64,
}

impl HuggingFace {
    /// Reads the configuration and the headers, and checks that every weight lies within its file.
    pub(crate) fn open(path: &Path) -> Result<Self, LanguageModelError> {
        let config = read_config(path)?;
        let mut files = shard_files(path)?;
        let shards = files
            .iter()
            .map(|file| SafetensorsFile::open(file))
            .collect::<Result<Vec<_>, _>>()?;
        let mut weights = HashMap::new();
        for (index, shard) in shards.iter().enumerate() {
            for name in shard.metadata.offset_keys() {
                weights.insert(config.family.planned_name(&name), (index, name));
            }
        }
        let beside = [
            "config.json",
            "model.safetensors.index.json",
            "tokenizer.json",
        ];
        files.extend(beside.iter().map(|name| path.join(name)));
        let disk_size_bytes = files
            .iter()
            .filter_map(|file| file.metadata().ok())
            .map(|metadata| metadata.len())
            .sum();
        Ok(Self {
            path: path.to_owned(),
            config,
            shards,
            weights,
            disk_size_bytes,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Bytes of the weights, their index, the configuration and the tokenizer.
    pub fn disk_size_bytes(&self) -> u64 {
        self.disk_size_bytes
    }

    /// The shape of a weight.
    pub(crate) fn shape(&self, name: &str) -> Option<Vec<i64>> {
        let (index, name) = self.weights.get(name)?;
        Some(self.shards[*index].find(name)?.0)
    }

    /// A weight.
    pub(crate) fn weight(
        &self,
        name: &str,
        shape: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        match self.weights.get(name) {
            Some((index, stored)) => self.shards[*index].weight(stored, shape, kind, device),
            None => Err(LanguageModelError::WeightMissing {
                path: self.path.clone(),
                tensor: name.to_owned(),
            }),
        }
    }

    /// The kind that most weights have, as the product's documents name it where they do.
    pub(crate) fn quantization(&self) -> String {
        let mut bytes = BTreeMap::<String, usize>::new();
        for info in self
            .shards
            .iter()
            .flat_map(|shard| shard.metadata.tensors().into_values())
        {
            let name = match info.dtype {
                Dtype::F32 => "FP32".to_owned(),
                Dtype::F16 | Dtype::BF16 => "FP16".to_owned(),
                other => format!("{other:?}"),
            };
            *bytes.entry(name).or_default() += info.data_offsets.1 - info.data_offsets.0;
        }
        bytes
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map_or_else(|| "none".to_owned(), |(name, _)| name)
    }
}

/// The configuration in a directory's `config.json`.
pub(super) fn read_config(directory: &Path) -> Result<ModelConfig, LanguageModelError> {
    let path = directory.join("config.json");
    Family::config(&read_text(&path)?).map_err(|fault| match fault {
        ConfigFault::Malformed(detail) => LanguageModelError::FileMalformed { path, detail },
        ConfigFault::Unsupported(detail) => LanguageModelError::Unsupported {
            path: directory.to_owned(),
            detail,
        },
    })
}

/// `model.safetensors`, or the files that `model.safetensors.index.json` names.
fn shard_files(directory: &Path) -> Result<Vec<PathBuf>, LanguageModelError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index_path = directory.join("model.safetensors.index.json");
    let single = directory.join("model.safetensors");
    if single.exists() || !index_path.exists() {
        return Ok(vec![single]);
    }
    let malformed = |detail: String| LanguageModelError::FileMalformed {
        path: index_path.clone(),
        detail,
    };
    let index: Index = serde_json::from_str(&read_text(&index_path)?)
        .map_err(|error| malformed(error.to_string()))?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    if let Some(outside) = names.iter().find(|name| name.contains('/')) {
        return Err(malformed(format!(
            "it names {outside}, which is not a file of the directory"
        )));
    }
    Ok(names.iter().map(|name| directory.join(name)).collect())
}

pub(super) fn read_text(path: &Path) -> Result<String, LanguageModelError> {
    std::fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::InvalidData => LanguageModelError::FileMalformed {
            path: path.to_owned(),
            detail: source.to_string(),
        },
        _ => LanguageModelError::FileMissing {
            path: path.to_owned(),
            source,
        },
    })
}
