//! Llama (Touvron et al. 2023, arXiv:2302.13971): RMSNorm, rotary embeddings, grouped queries, SwiGLU.

use crate::language_model::{
    Activation, Family, ModelConfig, RotaryConfig,
    config::ConfigFault,
    plan::{LayerPlan, NormPlan, Plan, Product, Rows},
    rope_json::RopeJson,
};
use serde::Deserialize;
use serde_json::Value;

/// What decides how the model runs; defaults are transformers' own.
#[derive(Deserialize)]
struct Json {
    vocab_size: i64,
    hidden_size: i64,
    intermediate_size: i64,
    num_hidden_layers: usize,
    num_attention_heads: i64,
    num_key_value_heads: Option<i64>,
    head_dim: Option<i64>,
    max_position_embeddings: Option<i64>,
    rms_norm_eps: Option<f64>,
    #[serde(flatten)]
    rope: RopeJson,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
}

pub(super) fn config(json: Value) -> Result<ModelConfig, ConfigFault> {
    let json: Json =
        serde_json::from_value(json).map_err(|error| ConfigFault::Malformed(error.to_string()))?;
    let head_dim = json
        .head_dim
        .or_else(|| json.hidden_size.checked_div(json.num_attention_heads))
        .unwrap_or(0);
    Ok(ModelConfig {
        family: Family::Llama,
        vocab_size: json.vocab_size,
        hidden_size: json.hidden_size,
        intermediate_size: json.intermediate_size,
        num_layers: json.num_hidden_layers,
        num_attention_heads: json.num_attention_heads,
        num_key_value_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
        head_dim,
        max_position_embeddings: json.max_position_embeddings.unwrap_or(2048),
        norm_eps: json.rms_norm_eps.unwrap_or(1e-6),
        rotary: Some(RotaryConfig {
            theta: json.rope.theta(),
            turned: head_dim,
            scaling: json.rope.scaling().map_err(ConfigFault::Unsupported)?,
        }),
        activation: Activation::named(json.hidden_act.as_deref().unwrap_or("silu"), &["silu"])?,
        is_parallel: false,
        tie_word_embeddings: json.tie_word_embeddings,
        attention_bias: json.attention_bias,
        mlp_bias: json.mlp_bias,
    })
}

pub(super) fn plan(config: &ModelConfig) -> Plan {
    let norm = |name: String| NormPlan {
        name,
        biased: false,
    };
    let layer = |number: usize| {
        let name = config.family.layer_name(number);
        let at = |part: &str| format!("{name}.{part}");
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let (heads, shared) = (config.num_attention_heads, config.num_key_value_heads);
        let attention = |part: &str, outputs, inputs| {
            Product::new(
                at(&format!("self_attn.{part}")),
                outputs,
                inputs,
                config.attention_bias,
            )
        };
        let mlp = |part: &str, outputs, inputs| {
            Product::new(at(&format!("mlp.{part}")), outputs, inputs, config.mlp_bias)
        };
        let (queries, keys) = (heads * config.head_dim, shared * config.head_dim);
        let turned = config.turned();
        LayerPlan {
            attention_norm: norm(at("input_layernorm")),
            query_key_value: vec![
                attention("q_proj", queries, hidden).of(Rows::Heads {
                    count: heads,
                    turned,
                }),
                attention("k_proj", keys, hidden).of(Rows::Heads {
                    count: shared,
                    turned,
                }),
                attention("v_proj", keys, hidden),
            ],
            attention_output: attention("o_proj", hidden, queries),
            mlp_norm: Some(norm(at("post_attention_layernorm"))),
            gate: Some(mlp("gate_proj", wide, hidden)),
            up: mlp("up_proj", wide, hidden),
            down: mlp("down_proj", hidden, wide),
        }
    };
    Plan {
        embedding: "model.embed_tokens.weight".to_owned(),
        positions: None,
        layers: (0..config.num_layers).map(layer).collect(),
        final_norm: norm("model.norm".to_owned()),
        untied_head: (!config.tie_word_embeddings).then(|| "lm_head.weight".to_owned()),
        head_bias: None,
        hidden: config.hidden_size,
        vocab: config.vocab_size,
        longest: config.max_position_embeddings,
    }
}
