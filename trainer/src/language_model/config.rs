//! The numbers that make a Llama: read from `config.json` or from GGUF metadata.

use serde::Deserialize;
use serde_json::{Value, json};

/// The configuration of a model of the Llama family, named as in `config.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LlamaConfig {
    /// Entries of the vocabulary, which is rows of the embedding.
    pub vocab_size: i64,
    /// Width of the residual stream.
    pub hidden_size: i64,
    /// Width of the MLP.
    pub intermediate_size: i64,
    /// Layers.
    pub num_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: i64,
    /// Heads of keys and values, a divisor of `num_attention_heads`.
    pub num_key_value_heads: i64,
    /// Width of a head.
    pub head_dim: i64,
    /// The longest context that the model was made for.
    pub max_position_embeddings: i64,
    /// ε of the RMSNorms.
    pub rms_norm_eps: f64,
    /// Base of the rotary embedding's wavelengths.
    pub rope_theta: f64,
    /// How those wavelengths are stretched.
    pub rope_scaling: RopeScaling,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the attention's four products have a bias.
    pub attention_bias: bool,
    /// Whether the MLP's three products have a bias.
    pub mlp_bias: bool,
}

/// How the rotary embedding's wavelengths are stretched for contexts longer than the first training's.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    None,
    /// All by the same factor (position interpolation).
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Long ones by a factor, short ones not, those between gradually (Llama 3.1).
    Llama3 {
        /// The factor of the long ones.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are short.
        high_freq_factor: f64,
        /// The context of the first training.
        original_max_position_embeddings: f64,
    },
    /// Each by a divisor of its frequency that the file holds (what llama.cpp makes of Llama 3.1).
    Divisors(Vec<f32>),
}

impl LlamaConfig {
    /// The document's `architecture_config`.
    pub fn to_json(&self) -> Value {
        let scaling = match &self.rope_scaling {
            RopeScaling::None => Value::Null,
            RopeScaling::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position_embeddings,
            }),
            RopeScaling::Divisors(_) => json!({ "rope_type": "frequency_divisors" }),
        };
        json!({
            "architecture": "llama",
            "num_layers": self.num_layers,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": scaling,
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
        })
    }

    /// Name and shape of each weight of the embedding and the first `layers` layers, and of the head `with_head`.
    pub(crate) fn weights(&self, layers: usize, with_head: bool) -> Vec<(String, Vec<i64>)> {
        let hidden = self.hidden_size;
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        let products = [
            ("self_attn.q_proj", queries, hidden, self.attention_bias),
            ("self_attn.k_proj", keys, hidden, self.attention_bias),
            ("self_attn.v_proj", keys, hidden, self.attention_bias),
            ("self_attn.o_proj", hidden, queries, self.attention_bias),
            (
                "mlp.gate_proj",
                self.intermediate_size,
                hidden,
                self.mlp_bias,
            ),
            ("mlp.up_proj", self.intermediate_size, hidden, self.mlp_bias),
            (
                "mlp.down_proj",
                hidden,
                self.intermediate_size,
                self.mlp_bias,
            ),
        ];
        let mut weights = vec![(
            "model.embed_tokens.weight".to_owned(),
            vec![self.vocab_size, hidden],
        )];
        for number in 0..layers {
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                weights.push((format!("model.layers.{number}.{norm}.weight"), vec![hidden]));
            }
            for (name, rows, columns, biased) in products {
                weights.push((
                    format!("model.layers.{number}.{name}.weight"),
                    vec![rows, columns],
                ));
                if biased {
                    weights.push((format!("model.layers.{number}.{name}.bias"), vec![rows]));
                }
            }
        }
        if with_head {
            weights.push(("model.norm.weight".to_owned(), vec![hidden]));
            if !self.tie_word_embeddings {
                weights.push(("lm_head.weight".to_owned(), vec![self.vocab_size, hidden]));
            }
        }
        weights
    }

    /// What no Llama can be.
    ///
    /// # Errors
    /// A sentence that names the number.
    pub(crate) fn check(&self) -> Result<(), String> {
        let counts = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
            (
                "num_layers",
                i64::try_from(self.num_layers).unwrap_or(i64::MAX),
            ),
        ];
        for (name, value) in counts {
            if !(1..=1 << 24).contains(&value) {
                return Err(format!("{name} is {value}"));
            }
        }
        if self.num_attention_heads % self.num_key_value_heads != 0 {
            return Err(format!(
                "{} heads cannot be shared by {} key-value heads",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if self.head_dim % 2 != 0 {
            return Err(format!(
                "head_dim is {}, which rotary embeddings cannot halve",
                self.head_dim
            ));
        }
        if !(self.rms_norm_eps > 0.0 && self.rope_theta > 0.0) {
            return Err("rms_norm_eps and rope_theta must be above 0".to_owned());
        }
        Ok(())
    }
}

/// `config.json`, as transformers 4 and 5 write it; only what decides how the model runs.
#[derive(Deserialize)]
struct ConfigJson {
    vocab_size: i64,
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: usize,
    num_attention_heads: i64,
    num_key_value_heads: Option<i64>,
    head_dim: Option<i64>,
    #[serde(default = "default_max_position_embeddings")]
    max_position_embeddings: i64,
    #[serde(default = "default_rms_norm_eps")]
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<Rope>,
    rope_parameters: Option<Rope>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    #[serde(default = "default_hidden_act")]
    hidden_act: String,
}

/// transformers' own default.
fn default_max_position_embeddings() -> i64 {
    2048
}
/// transformers' own default.
fn default_rms_norm_eps() -> f64 {
    1e-6
}
/// transformers' own default.
fn default_hidden_act() -> String {
    "silu".to_owned()
}

/// `rope_scaling` (transformers 4) or `rope_parameters` (5).
#[derive(Deserialize)]
struct Rope {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

impl Rope {
    fn scaling(&self) -> Result<RopeScaling, String> {
        let need = |name: &str, value: Option<f64>| {
            value.ok_or_else(|| format!("its rope parameters lack {name}"))
        };
        match self.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: need("factor", self.factor)?,
            }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: need("factor", self.factor)?,
                low_freq_factor: need("low_freq_factor", self.low_freq_factor)?,
                high_freq_factor: need("high_freq_factor", self.high_freq_factor)?,
                original_max_position_embeddings: need(
                    "original_max_position_embeddings",
                    self.original_max_position_embeddings,
                )?,
            }),
            Some(other) => Err(format!(
                "rope type {other} is not known here; default, linear and llama3 are"
            )),
        }
    }
}

/// What is wrong with a `config.json`.
pub(crate) enum ConfigFault {
    /// It is not JSON, or lacks a field.
    Malformed(String),
    /// It describes something else than a Llama.
    Unsupported(String),
}

/// Reads a `config.json`.
pub(crate) fn from_config_json(text: &str) -> Result<LlamaConfig, ConfigFault> {
    let family: Value =
        serde_json::from_str(text).map_err(|error| ConfigFault::Malformed(error.to_string()))?;
    let model_type = family
        .get("model_type")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    if model_type != "llama" {
        return Err(ConfigFault::Unsupported(format!(
            "its model_type is {model_type}; llama is what can be run"
        )));
    }
    let json: ConfigJson = serde_json::from_value(family)
        .map_err(|error| ConfigFault::Malformed(error.to_string()))?;
    if json.hidden_act != "silu" {
        return Err(ConfigFault::Unsupported(format!(
            "its hidden_act is {}; silu is what can be run",
            json.hidden_act
        )));
    }
    let rope = json.rope_parameters.as_ref().or(json.rope_scaling.as_ref());
    let config = LlamaConfig {
        vocab_size: json.vocab_size,
        hidden_size: json.hidden_size,
        intermediate_size: json.intermediate_size,
        num_layers: json.num_hidden_layers,
        num_attention_heads: json.num_attention_heads,
        num_key_value_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
        head_dim: json
            .head_dim
            .or_else(|| json.hidden_size.checked_div(json.num_attention_heads))
            .unwrap_or(0),
        max_position_embeddings: json.max_position_embeddings,
        rms_norm_eps: json.rms_norm_eps,
        rope_theta: rope
            .and_then(|rope| rope.rope_theta)
            .or(json.rope_theta)
            .unwrap_or(10_000.0),
        rope_scaling: rope
            .map_or(Ok(RopeScaling::None), Rope::scaling)
            .map_err(ConfigFault::Unsupported)?,
        tie_word_embeddings: json.tie_word_embeddings,
        attention_bias: json.attention_bias,
        mlp_bias: json.mlp_bias,
    };
    config.check().map_err(ConfigFault::Malformed)?;
    Ok(config)
}
