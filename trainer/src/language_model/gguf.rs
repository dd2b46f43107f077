//! Llama models in GGUF files (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>), read with candle.

use super::{
    Activation, Family, LanguageModelError, ModelConfig, RopeScaling, RotaryConfig,
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

    fn read_config(&self) -> Result<ModelConfig, LanguageModelError> {
        let family = self.text("general.architecture")?;
        if family != "llama" {
            return Err(self.unsupported(format!(
                "its architecture is {family}; of GGUF files, llama is what can be run (others as Hugging Face directories)"
            )));
        }
        let heads = self.count("llama.attention.head_count")?;
        let hidden_size = self.count("llama.embedding_length")?;
        let head_dim = match self.content.metadata.get("llama.attention.key_length") {
            Some(_) => self.count("llama.attention.key_length")?,
            None => hidden_size.checked_div(heads).unwrap_or(0),
        };
        let rotated = match self.content.metadata.get("llama.rope.dimension_count") {
            Some(_) => self.count("llama.rope.dimension_count")?,
            None => head_dim,
        };
        if rotated != head_dim {
            return Err(self.unsupported(format!(
                "it turns {rotated} of the {head_dim} numbers of a head; only models that turn all can be run"
            )));
        }
        if self.content.metadata.contains_key("llama.expert_count")
            && self.count("llama.expert_count")? > 0
        {
            return Err(self.unsupported(
                "it is a mixture of experts; only dense models can be run".to_owned(),
            ));
        }
        let vocab_size = self
            .shape("model.embed_tokens.weight")
            .and_then(|shape| shape.first().copied());
        let config = ModelConfig {
            family: Family::Llama,
            vocab_size: vocab_size.ok_or_else(|| LanguageModelError::WeightMissing {
                path: self.path.clone(),
                tensor: "token_embd.weight".to_owned(),
            })?,
            hidden_size,
            intermediate_size: self.count("llama.feed_forward_length")?,
            num_layers: usize::try_from(self.count("llama.block_count")?).unwrap_or(usize::MAX),
            num_attention_heads: heads,
            num_key_value_heads: match self.content.metadata.get("llama.attention.head_count_kv") {
                Some(_) => self.count("llama.attention.head_count_kv")?,
                None => heads,
            },
            head_dim,
            max_position_embeddings: self.count("llama.context_length")?,
            norm_eps: self.number("llama.attention.layer_norm_rms_epsilon")?,
            rotary: Some(RotaryConfig {
                theta: match self.content.metadata.get("llama.rope.freq_base") {
                    Some(_) => self.number("llama.rope.freq_base")?,
                    None => 10_000.0,
                },
                turned: head_dim,
                scaling: self.rope_scaling(head_dim)?,
            }),
            activation: Activation::Silu,
            is_parallel: false,
            tie_word_embeddings: self.shape("lm_head.weight").is_none(),
            attention_bias: self.shape("model.layers.0.self_attn.q_proj.bias").is_some(),
            mlp_bias: self.shape("model.layers.0.mlp.up_proj.bias").is_some(),
        };
        config
            .check()
            .map_err(|detail| LanguageModelError::FileMalformed {
                path: self.path.clone(),
                detail,
            })?;
        Ok(config)
    }

    fn rope_scaling(&self, head_dim: i64) -> Result<RopeScaling, LanguageModelError> {
        if let Some(info) = self.content.tensor_infos.get("rope_freqs.weight") {
            let shape = [head_dim / 2];
            if dims(info) != shape {
                return Err(LanguageModelError::ShapeMismatch {
                    path: self.path.clone(),
                    tensor: "rope_freqs.weight".to_owned(),
                    expected: shape.to_vec(),
                    found: dims(info),
                });
            }
            let divisors = self.read(info, &shape, Kind::Float, Device::Cpu)?;
            return Vec::<f32>::try_from(&divisors)
                .map(RopeScaling::Divisors)
                .map_err(LanguageModelError::torch("read the rotary divisors"));
        }
        match self.content.metadata.get("llama.rope.scaling.type") {
            None => Ok(RopeScaling::None),
            Some(_) => match self.text("llama.rope.scaling.type")?.as_str() {
                "none" => Ok(RopeScaling::None),
                "linear" => Ok(RopeScaling::Linear {
                    factor: self.number("llama.rope.scaling.factor")?,
                }),
                other => Err(self.unsupported(format!(
                    "its rope scaling is {other}; none and linear can be run"
                ))),
            },
        }
    }

    fn unsupported(&self, detail: String) -> LanguageModelError {
        LanguageModelError::Unsupported {
            path: self.path.clone(),
            detail,
        }
    }

    fn value(&self, key: &str) -> Result<&Value, LanguageModelError> {
        self.content
            .metadata
            .get(key)
            .ok_or_else(|| LanguageModelError::FileMalformed {
                path: self.path.clone(),
                detail: format!("its metadata lack {key}"),
            })
    }

    fn wrong(&self, key: &str, wanted: &str) -> LanguageModelError {
        LanguageModelError::FileMalformed {
            path: self.path.clone(),
            detail: format!("its metadata's {key} is not {wanted}"),
        }
    }

    fn text(&self, key: &str) -> Result<String, LanguageModelError> {
        match self.value(key)? {
            Value::String(text) => Ok(text.clone()),
            _ => Err(self.wrong(key, "a string")),
        }
    }

    fn count(&self, key: &str) -> Result<i64, LanguageModelError> {
        whole(self.value(key)?).ok_or_else(|| self.wrong(key, "one whole number for all layers"))
    }

    fn number(&self, key: &str) -> Result<f64, LanguageModelError> {
        match self.value(key)? {
            // The shortest decimal of the f32, so that 1e-5 is read as what the model's authors wrote.
            Value::F32(number) => Ok(number.to_string().parse().unwrap_or(f64::from(*number))),
            Value::F64(number) => Ok(*number),
            _ => Err(self.wrong(key, "a number")),
        }
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

/// Names of a layer's parts: GGUF's and Hugging Face's.
const PARTS: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("ffn_norm", "post_attention_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// Names outside the layers: GGUF's and Hugging Face's.
const WHOLES: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

fn gguf_name(hugging_face: &str) -> Option<String> {
    if let Some((gguf, _)) = WHOLES.iter().find(|(_, theirs)| *theirs == hugging_face) {
        return Some((*gguf).to_owned());
    }
    let (layer, rest) = hugging_face
        .strip_prefix("model.layers.")?
        .split_once('.')?;
    let (part, what) = rest.rsplit_once('.')?;
    let (gguf, _) = PARTS.iter().find(|(_, theirs)| *theirs == part)?;
    Some(format!("blk.{layer}.{gguf}.{what}"))
}
