//! Models in Hugging Face directories: `config.json`, one or more safetensors files, `tokenizer.json`.

use super::{
    Family, LanguageModelError, ModelConfig,
    config::ConfigFault,
    rows::{Stored, plain},
};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};

/// The longest header that the safetensors format allows.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A Hugging Face directory, the headers of its files read.
pub struct HuggingFace {
    path: PathBuf,
    config: ModelConfig,
    shards: Vec<Shard>,
    /// Where each weight is, by the name that its family gives it: the shard's index and the name there.
    weights: HashMap<String, (usize, String)>,
    disk_size_bytes: u64,
}

/// A safetensors file.
struct Shard {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// The first byte after the header.
    data_offset: u64,
}

impl HuggingFace {
    /// Reads the configuration and the headers, and checks that every weight lies within its file.
    pub(crate) fn open(path: &Path) -> Result<Self, LanguageModelError> {
        let config_path = path.join("config.json");
        let config = Family::config(&read_text(&config_path)?).map_err(|fault| match fault {
            ConfigFault::Malformed(detail) => LanguageModelError::FileMalformed {
                path: config_path.clone(),
                detail,
            },
            ConfigFault::Unsupported(detail) => LanguageModelError::Unsupported {
                path: path.to_owned(),
                detail,
            },
        })?;
        let mut files = shard_files(path)?;
        let shards = files
            .iter()
            .map(|file| Shard::open(file))
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
        let (_, info) = self.find(name)?;
        Some(
            info.shape
                .iter()
                .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
                .collect(),
        )
    }

    fn find(&self, name: &str) -> Option<(&Shard, &TensorInfo)> {
        let (index, name) = self.weights.get(name)?;
        let shard = &self.shards[*index];
        Some((shard, shard.metadata.info(name)?))
    }

    /// A weight.
    pub(crate) fn weight(
        &self,
        name: &str,
        shape: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        let (shard, info) = self
            .find(name)
            .ok_or_else(|| LanguageModelError::WeightMissing {
                path: self.path.clone(),
                tensor: name.to_owned(),
            })?;
        let stored_kind = kind_of(info.dtype).ok_or_else(|| LanguageModelError::Unsupported {
            path: shard.path.clone(),
            detail: format!(
                "the weight {name} is stored as {:?}; F32, F16 and BF16 can be read",
                info.dtype
            ),
        })?;
        let (start, end) = info.data_offsets;
        let stored = Stored {
            file: &shard.file,
            path: &shard.path,
            offset: shard.data_offset + start as u64,
            bytes: (end - start) as u64,
        };
        stored.read(shape, kind, device, |bytes, shape| {
            plain(bytes, shape, stored_kind)
        })
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

impl Shard {
    fn open(path: &Path) -> Result<Self, LanguageModelError> {
        let missing = |source| LanguageModelError::FileMissing {
            path: path.to_owned(),
            source,
        };
        let malformed = |detail: String| LanguageModelError::FileMalformed {
            path: path.to_owned(),
            detail,
        };
        let truncated = |detail: String| LanguageModelError::FileTruncated {
            path: path.to_owned(),
            detail,
        };
        let mut file = File::open(path).map_err(missing)?;
        let file_bytes = file.metadata().map_err(missing)?.len();
        let mut length = [0; 8];
        file.read_exact(&mut length)
            .map_err(|_| truncated(format!("it has {file_bytes} bytes")))?;
        let header_bytes = u64::from_le_bytes(length);
        if header_bytes > MAX_HEADER_BYTES {
            return Err(malformed(format!(
                "its header would have {header_bytes} bytes: not a safetensors file"
            )));
        }
        if header_bytes > file_bytes - 8 {
            return Err(truncated(format!(
                "its header has {header_bytes} bytes, the file {file_bytes}"
            )));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header)
            .map_err(|error| truncated(error.to_string()))?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| malformed(error.to_string()))?;
        let data_offset = 8 + header_bytes;
        let end = data_offset.saturating_add(metadata.data_len() as u64);
        if end > file_bytes {
            return Err(truncated(format!(
                "its weights end at byte {end}, the file at byte {file_bytes}"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            metadata,
            data_offset,
        })
    }
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

fn read_text(path: &Path) -> Result<String, LanguageModelError> {
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

fn kind_of(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::F16 => Some(Kind::Half),
        Dtype::BF16 => Some(Kind::BFloat16),
        _ => None,
    }
}
