//! Rotary embeddings as `config.json` describes them, by transformers 4 and 5.

use super::RopeScaling;
use serde::Deserialize;

/// The fields of a `config.json` that speak of rotary embeddings.
#[derive(Deserialize)]
pub(super) struct RopeJson {
    rope_theta: Option<f64>,
    /// GPT-NeoX's name of it.
    rotary_emb_base: Option<f64>,
    /// transformers 4.
    rope_scaling: Option<Parameters>,
    /// transformers 5.
    rope_parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Parameters {
    rope_theta: Option<f64>,
    #[serde(alias = "type")]
    rope_type: Option<String>,
    partial_rotary_factor: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
    /// Of the type `frequency_divisors`, which models made from GGUF files have.
    divisors: Option<Vec<f32>>,
}

impl RopeJson {
    fn parameters(&self) -> Option<&Parameters> {
        self.rope_parameters.as_ref().or(self.rope_scaling.as_ref())
    }

    /// Base of the wavelengths.
    pub(super) fn theta(&self) -> f64 {
        self.parameters()
            .and_then(|parameters| parameters.rope_theta)
            .or(self.rope_theta)
            .or(self.rotary_emb_base)
            .unwrap_or(10_000.0)
    }

    /// How many numbers of a head are turned, where the family's own field says which `part`.
    pub(super) fn turned(&self, head_dim: i64, part: f64) -> i64 {
        let part = self
            .parameters()
            .and_then(|parameters| parameters.partial_rotary_factor)
            .unwrap_or(part);
        (head_dim as f64 * part) as i64
    }

    /// How wavelengths are stretched.
    ///
    /// # Errors
    /// A sentence about what is missing or not known.
    pub(super) fn scaling(&self) -> Result<RopeScaling, String> {
        let Some(parameters) = self.parameters() else {
            return Ok(RopeScaling::None);
        };
        let need = |name: &str, value: Option<f64>| {
            value.ok_or_else(|| format!("its rope parameters lack {name}"))
        };
        match parameters.rope_type.as_deref() {
            None | Some("default") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: need("factor", parameters.factor)?,
            }),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: need("factor", parameters.factor)?,
                low_freq_factor: need("low_freq_factor", parameters.low_freq_factor)?,
                high_freq_factor: need("high_freq_factor", parameters.high_freq_factor)?,
                original_max_position_embeddings: need(
                    "original_max_position_embeddings",
                    parameters.original_max_position_embeddings,
                )?,
            }),
            Some("frequency_divisors") => parameters
                .divisors
                .clone()
                .map(RopeScaling::Divisors)
                .ok_or_else(|| "its rope parameters lack divisors".to_owned()),
            Some(other) => Err(format!(
                "rope type {other} is not known here; default, linear and llama3 are"
            )),
        }
    }
}
