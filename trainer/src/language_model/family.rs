//! The families of models that can be run. Each is a file that reads its configuration and names its weights; what they compute
//! with is shared.

mod gpt2;
mod gpt_neox;
mod llama;
mod phi;

use super::{ModelConfig, config::ConfigFault, plan::Plan};
use serde_json::Value;

/// A family of models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Llama (Touvron et al. 2023, arXiv:2302.13971) and what is built like it: SmolLM, Mistral's dense models as Llama…
    #[default]
    Llama,
    /// GPT-2 (Radford et al. 2019).
    Gpt2,
    /// GPT-NeoX (Black et al. 2022, arXiv:2204.06745), which Pythia is.
    GptNeox,
    /// Phi-1 to Phi-2 (Gunasekar et al. 2023, arXiv:2306.11644).
    Phi,
}

impl Family {
    const ALL: [Self; 4] = [Self::Llama, Self::Gpt2, Self::GptNeox, Self::Phi];

    /// The product's name of it, which is a model's `architecture`.
    pub fn architecture(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Gpt2 => "gpt2",
            Self::GptNeox => "pythia",
            Self::Phi => "phi",
        }
    }

    /// transformers' name of it.
    pub fn model_type(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Gpt2 => "gpt2",
            Self::GptNeox => "gpt_neox",
            Self::Phi => "phi",
        }
    }

    /// transformers' name of a layer.
    pub(super) fn layer_name(self, layer: usize) -> String {
        let layers = match self {
            Self::Llama | Self::Phi => "model.layers",
            Self::Gpt2 => "transformer.h",
            Self::GptNeox => "gpt_neox.layers",
        };
        format!("{layers}.{layer}")
    }

    /// transformers' name of attention in a layer.
    pub(super) fn attention_name(self) -> &'static str {
        match self {
            Self::Llama | Self::Phi => "self_attn",
            Self::Gpt2 => "attn",
            Self::GptNeox => "attention",
        }
    }

    /// Whether somebody who registered a model as `architecture` meant this family.
    pub fn is_called(self, architecture: &str) -> bool {
        let name = architecture.to_lowercase().replace(['_', '-'], "");
        match self {
            Self::Llama => name.starts_with("llama"),
            Self::Gpt2 => name.starts_with("gpt2"),
            Self::GptNeox => name.starts_with("pythia") || name.starts_with("gptneox"),
            Self::Phi => name.starts_with("phi") && !name.starts_with("phi3"),
        }
    }

    /// Reads a `config.json`.
    pub(super) fn config(text: &str) -> Result<ModelConfig, ConfigFault> {
        let json: Value = serde_json::from_str(text)
            .map_err(|error| ConfigFault::Malformed(error.to_string()))?;
        let model_type = json
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("unknown");
        let family = Self::ALL
            .into_iter()
            .find(|family| family.model_type() == model_type)
            .ok_or_else(|| ConfigFault::Unsupported(unknown(model_type)))?;
        let config = match family {
            Self::Llama => llama::config(json),
            Self::Gpt2 => gpt2::config(json),
            Self::GptNeox => gpt_neox::config(json),
            Self::Phi => phi::config(json),
        }?;
        config.check().map_err(ConfigFault::Malformed)?;
        Ok(config)
    }

    /// The weights of a model of this configuration.
    pub(super) fn plan(config: &ModelConfig) -> Plan {
        match config.family {
            Self::Llama => llama::plan(config),
            Self::Gpt2 => gpt2::plan(config),
            Self::GptNeox => gpt_neox::plan(config),
            Self::Phi => phi::plan(config),
        }
    }

    /// The name by which the plan knows a weight that a file calls `name`.
    pub(super) fn planned_name(self, name: &str) -> String {
        match self {
            Self::Gpt2 => gpt2::planned_name(name),
            _ => name.to_owned(),
        }
    }
}

/// Why a model of another family cannot be run.
pub(super) fn unknown(model_type: &str) -> String {
    let beside = match model_type {
        "phi3" | "phi4" => "; Phi-3 and later are another family than Phi-1 and Phi-2",
        _ => "",
    };
    format!(
        "its model_type is {model_type}; llama, gpt2, gpt_neox (Pythia) and phi are what can be run{beside}"
    )
}
