//! GPT-2 (Radford et al. 2019): LayerNorm, learned positions, weights stored inputs first.

use crate::language_model::{
    Activation, Family, ModelConfig,
    config::ConfigFault,
    plan::{LayerPlan, NormPlan, Plan, Product},
};
use serde::Deserialize;
use serde_json::Value;

/// What decides how the model runs; defaults are transformers' own.
#[derive(Deserialize)]
struct Json {
    vocab_size: i64,
    n_positions: i64,
    n_embd: i64,
    n_layer: usize,
    n_head: i64,
    n_inner: Option<i64>,
    activation_function: Option<String>,
    layer_norm_epsilon: Option<f64>,
    scale_attn_weights: Option<bool>,
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
    #[serde(default)]
    add_cross_attention: bool,
    tie_word_embeddings: Option<bool>,
}

pub(super) fn config(json: Value) -> Result<ModelConfig, ConfigFault> {
    let json: Json =
        serde_json::from_value(json).map_err(|error| ConfigFault::Malformed(error.to_string()))?;
    if json.scale_attn_weights == Some(false)
        || json.scale_attn_by_inverse_layer_idx
        || json.add_cross_attention
    {
        return Err(ConfigFault::Unsupported(
            "its attention scores are scaled otherwise, or it has cross-attention; only GPT-2 as it was released can be run"
                .to_owned(),
        ));
    }
    Ok(ModelConfig {
        family: Family::Gpt2,
        vocab_size: json.vocab_size,
        hidden_size: json.n_embd,
        intermediate_size: json.n_inner.unwrap_or(json.n_embd.saturating_mul(4)),
        num_layers: json.n_layer,
        num_attention_heads: json.n_head,
        num_key_value_heads: json.n_head,
        head_dim: json.n_embd.checked_div(json.n_head).unwrap_or(0),
        max_position_embeddings: json.n_positions,
        norm_eps: json.layer_norm_epsilon.unwrap_or(1e-5),
        rotary: None,
        activation: Activation::named(
            json.activation_function.as_deref().unwrap_or("gelu_new"),
            &["gelu_new", "gelu", "relu"],
        )?,
        is_parallel: false,
        tie_word_embeddings: json.tie_word_embeddings.unwrap_or(true),
        attention_bias: true,
        mlp_bias: true,
    })
}

pub(super) fn plan(config: &ModelConfig) -> Plan {
    let norm = |name: String| NormPlan { name, biased: true };
    let layer = |number: usize| {
        let name = config.family.layer_name(number);
        let at = |part: &str| format!("{name}.{part}");
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let product = |part: &str, outputs, inputs| {
            Product::new(at(part), outputs, inputs, true).inputs_first()
        };
        LayerPlan {
            attention_norm: norm(at("ln_1")),
            query_key_value: vec![product("attn.c_attn", 3 * hidden, hidden)],
            attention_output: product("attn.c_proj", hidden, hidden),
            mlp_norm: Some(norm(at("ln_2"))),
            gate: None,
            up: product("mlp.c_fc", wide, hidden),
            down: product("mlp.c_proj", hidden, wide),
        }
    };
    Plan {
        embedding: "transformer.wte.weight".to_owned(),
        positions: Some("transformer.wpe.weight".to_owned()),
        layers: (0..config.num_layers).map(layer).collect(),
        final_norm: norm("transformer.ln_f".to_owned()),
        untied_head: (!config.tie_word_embeddings).then(|| "lm_head.weight".to_owned()),
        head_bias: None,
        hidden: config.hidden_size,
        vocab: config.vocab_size,
        longest: config.max_position_embeddings,
    }
}

/// The released files, which were saved without the head, leave out the prefix.
pub(super) fn planned_name(name: &str) -> String {
    let is_bare = ["h.", "wte.", "wpe.", "ln_f."]
        .iter()
        .any(|start| name.starts_with(start));
    if is_bare {
        format!("transformer.{name}")
    } else {
        name.to_owned()
    }
}
