//! Llama models in GGUF files (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>), read with candle.

mod config;
mod names;

use self::names::gguf_name;
use super::{
    LanguageModelError, ModelConfig,
    rows::{Stored, plain},
};
use candle_core::quantized::{
    GgmlDType,
    ggml_file::qtensor_from_ggml,
    gguf_file::{Content, TensorInfo, Value},
};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};

/// A GGUF file, its header read.
pub struct Gguf {
    path: PathBuf,
    file: File,
    file_bytes: u64,
    content: Content,
    config: ModelConfig,
}

impl Gguf {
    /// Reads the header, and checks that every weight that it promises lies within the file.
    pub(crate) fn open(path: &Path) -> Result<Self, LanguageModelError> {
        let missing = |source| LanguageModelError::FileMissing {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(missing)?;
        let file_bytes = file.metadata().map_err(missing)?.len();
        let content =
            Content::read(&mut BufReader::new(&file)).map_err(|error| fault(path, &error))?;
        for (name, info) in &content.tensor_infos {
            let needed = stored_bytes(info).ok_or_else(|| LanguageModelError::FileMalformed {
                path: path.to_owned(),
                detail: format!(
                    "the weight {name} has shape {:?}, which does not fill its blocks",
                    info.shape.dims()
                ),
            })?;
            let end = content
                .tensor_data_offset
                .saturating_add(info.offset)
                .saturating_add(needed);
            if end > file_bytes {
                return Err(LanguageModelError::FileTruncated {
                    path: path.to_owned(),
                    detail: format!(
                        "the weight {name} ends at byte {end}, the file at byte {file_bytes}"
                    ),
                });
            }
        }
        let mut opened = Self {
            path: path.to_owned(),
            file,
            file_bytes,
            config: ModelConfig::default(),
            content,
        };
        opened.config = opened.read_config()?;
        Ok(opened)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Bytes of the file.
    pub fn disk_size_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The file's metadata, by key.
    pub(crate) fn metadata(&self) -> &HashMap<String, Value> {
        &self.content.metadata
    }

    /// The shape of a weight by its Hugging Face name.
    pub(crate) fn shape(&self, name: &str) -> Option<Vec<i64>> {
        self.info(name).map(dims)
    }

    /// A weight by its Hugging Face name, dequantised. Rows of queries and keys stay in the file's own (interleaved) order.
    pub(crate) fn weight(
        &self,
        name: &str,
        shape: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        let info = self
            .info(name)
            .ok_or_else(|| LanguageModelError::WeightMissing {
                path: self.path.clone(),
                tensor: name.to_owned(),
            })?;
        self.read(info, shape, kind, device)
    }

    fn read(
        &self,
        info: &TensorInfo,
        shape: &[i64],
        kind: Kind,
        device: Device,
    ) -> Result<Tensor, LanguageModelError> {
        let stored = Stored {
            file: &self.file,
            path: &self.path,
            offset: self.content.tensor_data_offset + info.offset,
            bytes: stored_bytes(info).unwrap_or(0),
        };
        stored.read(shape, kind, device, |bytes, shape| match info.ggml_dtype {
            GgmlDType::F32 => plain(bytes, shape, Kind::Float),
            GgmlDType::F16 => plain(bytes, shape, Kind::Half),
            GgmlDType::BF16 => plain(bytes, shape, Kind::BFloat16),
            quantised => self.dequantised(quantised, bytes, shape),
        })
    }

    fn dequantised(
        &self,
        dtype: GgmlDType,
        bytes: &[u8],
        shape: &[i64],
    ) -> Result<Tensor, LanguageModelError> {
        let dims = shape.iter().map(|&size| size as usize).collect();
        let numbers = qtensor_from_ggml(dtype, bytes, dims, &candle_core::Device::Cpu)
            .and_then(|blocks| blocks.dequantize(&candle_core::Device::Cpu))
            .and_then(|numbers| numbers.flatten_all()?.to_vec1::<f32>())
            .map_err(|error| LanguageModelError::Unsupported {
                path: self.path.clone(),
                detail: format!("weights of kind {dtype:?} cannot be read: {error}"),
            })?;
        Tensor::f_from_slice(&numbers)
            .and_then(|numbers| numbers.f_view(shape))
            .map_err(LanguageModelError::torch("hold a weight in memory"))
    }

    /// The kind that most weights have, as the product's documents name it where they do.
    pub(crate) fn quantization(&self) -> String {
        let mut elements = BTreeMap::<&str, u64>::new();
        for info in self.content.tensor_infos.values() {
            *elements.entry(document_name(info.ggml_dtype)).or_default() +=
                info.shape.elem_count() as u64;
        }
        let most = elements.into_iter().max_by_key(|(_, count)| *count);
        most.map_or("none", |(name, _)| name).to_owned()
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.content.tensor_infos.get(&gguf_name(name)?)
    }
}

/// A whole number of any width.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::U8(n) => Some((*n).into()),
        Value::I8(n) => Some((*n).into()),
        Value::U16(n) => Some((*n).into()),
        Value::I16(n) => Some((*n).into()),
        Value::U32(n) => Some((*n).into()),
        Value::I32(n) => Some((*n).into()),
        Value::U64(n) => (*n).try_into().ok(),
        Value::I64(n) => Some(*n),
        _ => None,
    }
}

fn dims(info: &TensorInfo) -> Vec<i64> {
    info.shape
        .dims()
        .iter()
        .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
        .collect()
}

/// Bytes of a weight in the file, if its rows fill whole blocks.
fn stored_bytes(info: &TensorInfo) -> Option<u64> {
    let block = info.ggml_dtype.block_size();
    let row = info.shape.dims().last().copied().unwrap_or(1);
    if row % block != 0 {
        return None;
    }
    let elements = info
        .shape
        .dims()
        .iter()
        .try_fold(1_usize, |product, &size| product.checked_mul(size))?;
    u64::try_from((elements / block).checked_mul(info.ggml_dtype.type_size())?).ok()
}

/// candle's error as one of ours: an unexpected end of the file is a truncation.
fn fault(path: &Path, error: &candle_core::Error) -> LanguageModelError {
    let path = path.to_owned();
    let text = error.to_string();
    let detail = text.lines().next().unwrap_or_default().to_owned();
    if text.contains("remaining") || text.contains("failed to fill whole buffer") {
        LanguageModelError::FileTruncated { path, detail }
    } else if text.contains("unknown dtype") {
        LanguageModelError::Unsupported {
            path,
            detail: format!("{detail}; F32, F16, BF16, Q4 to Q8 and K-quants can be read"),
        }
    } else {
        LanguageModelError::FileMalformed { path, detail }
    }
}

/// The documents' names of quantizations; ggml's own where they have none.
fn document_name(dtype: GgmlDType) -> &'static str {
    match dtype {
        GgmlDType::F32 => "FP32",
        GgmlDType::F16 | GgmlDType::BF16 => "FP16",
        GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q4K => "Q4",
        GgmlDType::Q8_0 | GgmlDType::Q8_1 | GgmlDType::Q8K => "Q8",
        GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q5K => "Q5",
        GgmlDType::Q6K => "Q6",
        GgmlDType::Q3K => "Q3",
        GgmlDType::Q2K => "Q2",
    }
}
