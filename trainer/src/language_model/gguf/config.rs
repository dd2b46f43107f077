//! The configuration of a Llama from GGUF metadata.

use super::{Gguf, dims, whole};
use crate::language_model::{
    Activation, Family, LanguageModelError, ModelConfig, RopeScaling, RotaryConfig,
};
use candle_core::quantized::gguf_file::Value;
use tch::{Device, Kind};

impl Gguf {
    /// What the metadata say.
    pub(super) fn read_config(&self) -> Result<ModelConfig, LanguageModelError> {
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
