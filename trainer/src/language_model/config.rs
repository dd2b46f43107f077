//! The numbers that make a model, whatever its family: read from `config.json` or from GGUF metadata.

use super::{Activation, Family};
use serde_json::{Map, Value, json};

/// More layers than any model has, and few enough to list all their weights.
const MOST_LAYERS: usize = 4096;

/// The configuration of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelConfig {
    /// What it is a model of.
    pub family: Family,
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
    /// The longest context that the model was made for; the longest that it can read, where positions are learned.
    pub max_position_embeddings: i64,
    /// ε of the norms.
    pub norm_eps: f64,
    /// Rotary embeddings; none: learned positions.
    pub rotary: Option<RotaryConfig>,
    /// The MLP's activation function.
    pub activation: Activation,
    /// Whether attention and MLP read the same residual stream.
    pub is_parallel: bool,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the attention's products have a bias.
    pub attention_bias: bool,
    /// Whether the MLP's products have a bias.
    pub mlp_bias: bool,
}

/// Rotary embeddings (Su et al. 2021, arXiv:2104.09864).
#[derive(Clone, Debug, PartialEq)]
pub struct RotaryConfig {
    /// Base of the wavelengths.
    pub theta: f64,
    /// Numbers at the beginning of each head that are turned.
    pub turned: i64,
    /// How the wavelengths are stretched.
    pub scaling: RopeScaling,
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

impl RopeScaling {
    fn to_json(&self) -> Value {
        match self {
            Self::None => Value::Null,
            Self::Linear { factor } => json!({ "rope_type": "linear", "factor": factor }),
            Self::Llama3 {
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
            Self::Divisors(divisors) => {
                json!({ "rope_type": "frequency_divisors", "divisors": divisors })
            }
        }
    }
}

impl ModelConfig {
    /// The document's `architecture_config`.
    pub fn to_json(&self) -> Value {
        let mut fields = json!({
            "architecture": self.family.architecture(),
            "model_type": self.family.model_type(),
            "num_layers": self.num_layers,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.max_position_embeddings,
            "hidden_act": self.activation.name(),
            "use_parallel_residual": self.is_parallel,
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
        });
        let norm_eps = match self.family {
            Family::Llama => "rms_norm_eps",
            Family::Gpt2 | Family::GptNeox | Family::Phi => "layer_norm_eps",
        };
        fields[norm_eps] = self.norm_eps.into();
        if let Some(rotary) = &self.rotary {
            fields["rope_theta"] = rotary.theta.into();
            fields["rope_scaling"] = rotary.scaling.to_json();
            fields["rotary_dim"] = rotary.turned.into();
        }
        fields
    }

    /// A `config.json` of a Llama.
    pub(super) fn to_llama_json(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        if let Value::Object(described) = self.to_json() {
            fields.extend(described);
        }
        fields.retain(|name, _| {
            ![
                "architecture",
                "num_layers",
                "use_parallel_residual",
                "rotary_dim",
            ]
            .contains(&name.as_str())
        });
        fields.insert("num_hidden_layers".to_owned(), self.num_layers.into());
        fields.insert("architectures".to_owned(), json!(["LlamaForCausalLM"]));
        fields
    }

    /// Numbers of each head that rotary embeddings turn.
    pub(super) fn turned(&self) -> i64 {
        self.rotary.as_ref().map_or(0, |rotary| rotary.turned)
    }

    /// What no model can be.
    ///
    /// # Errors
    /// A sentence that names the number.
    pub(super) fn check(&self) -> Result<(), String> {
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
        if self.num_layers > MOST_LAYERS {
            return Err(format!(
                "num_layers is {}; models of up to {MOST_LAYERS} can be run",
                self.num_layers
            ));
        }
        if self.num_attention_heads % self.num_key_value_heads != 0 {
            return Err(format!(
                "{} heads cannot be shared by {} key-value heads",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        // Llama says its head_dim; the others divide the hidden size.
        if self.family != Family::Llama
            && self.num_attention_heads * self.head_dim != self.hidden_size
        {
            return Err(format!(
                "a hidden size of {} cannot be divided among {} heads",
                self.hidden_size, self.num_attention_heads
            ));
        }
        if self.norm_eps.is_nan() || self.norm_eps <= 0.0 {
            return Err("the norms' epsilon must be above 0".to_owned());
        }
        match &self.rotary {
            Some(rotary) => self.check_rotary(rotary),
            None => Ok(()),
        }
    }

    fn check_rotary(&self, rotary: &RotaryConfig) -> Result<(), String> {
        if rotary.turned % 2 != 0 || self.head_dim % 2 != 0 {
            return Err(format!(
                "rotary embeddings cannot halve {} of the {} numbers of a head (head_dim)",
                rotary.turned, self.head_dim
            ));
        }
        if !(2..=self.head_dim).contains(&rotary.turned) {
            return Err(format!(
                "rotary embeddings cannot turn {} of the {} numbers of a head",
                rotary.turned, self.head_dim
            ));
        }
        if rotary.theta.is_nan() || rotary.theta <= 0.0 {
            return Err("rope_theta must be above 0".to_owned());
        }
        Ok(())
    }
}

/// What is wrong with a `config.json`.
pub(super) enum ConfigFault {
    /// It is not JSON, or lacks a field.
    Malformed(String),
    /// It describes something that cannot be run.
    Unsupported(String),
}
