//! Phi-1 to Phi-2 (Gunasekar et al. 2023, arXiv:2306.11644): attention and MLP in parallel behind one LayerNorm, rotary embeddings
//! on a part of each head, biases everywhere, also of the logits. Phi-3 is built otherwise.

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
    max_position_embeddings: Option<i64>,
    layer_norm_eps: Option<f64>,
    #[serde(flatten)]
    rope: RopeJson,
    partial_rotary_factor: Option<f64>,
    hidden_act: Option<String>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    qk_layernorm: bool,
}

pub(super) fn config(json: Value) -> Result<ModelConfig, ConfigFault> {
    let json: Json =
        serde_json::from_value(json).map_err(|error| ConfigFault::Malformed(error.to_string()))?;
    if json.qk_layernorm {
        return Err(ConfigFault::Unsupported(
            "it normalises queries and keys (qk_layernorm); Phi-1 to Phi-2 as they were released, which do not, can be run"
                .to_owned(),
        ));
    }
    let head_dim = json
        .hidden_size
        .checked_div(json.num_attention_heads)
        .unwrap_or(0);
    Ok(ModelConfig {
        family: Family::Phi,
        vocab_size: json.vocab_size,
        hidden_size: json.hidden_size,
        intermediate_size: json.intermediate_size,
        num_layers: json.num_hidden_layers,
        num_attention_heads: json.num_attention_heads,
        num_key_value_heads: json.num_key_value_heads.unwrap_or(json.num_attention_heads),
        head_dim,
        max_position_embeddings: json.max_position_embeddings.unwrap_or(2048),
        norm_eps: json.layer_norm_eps.unwrap_or(1e-5),
        rotary: Some(RotaryConfig {
            theta: json.rope.theta(),
            turned: json
                .rope
                .turned(head_dim, json.partial_rotary_factor.unwrap_or(0.5)),
            scaling: json.rope.scaling().map_err(ConfigFault::Unsupported)?,
        }),
        activation: Activation::named(
            json.hidden_act.as_deref().unwrap_or("gelu_new"),
            &["gelu_new", "gelu", "relu"],
        )?,
        is_parallel: true,
        tie_word_embeddings: json.tie_word_embeddings,
        attention_bias: true,
        mlp_bias: true,
    })
}

pub(super) fn plan(config: &ModelConfig) -> Plan {
    let norm = |name: String| NormPlan { name, biased: true };
    let layer = |number: usize| {
        let name = config.family.layer_name(number);
        let at = |part: &str| format!("{name}.{part}");
        let product = |part: &str, outputs, inputs| Product::new(at(part), outputs, inputs, true);
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let (heads, shared) = (config.num_attention_heads, config.num_key_value_heads);
        let (queries, keys) = (heads * config.head_dim, shared * config.head_dim);
        let turned = config.turned();
        LayerPlan {
            attention_norm: norm(at("input_layernorm")),
            query_key_value: vec![
                product("self_attn.q_proj", queries, hidden).of(Rows::Heads {
                    count: heads,
                    turned,
                }),
                product("self_attn.k_proj", keys, hidden).of(Rows::Heads {
                    count: shared,
                    turned,
                }),
                product("self_attn.v_proj", keys, hidden),
            ],
            attention_output: product("self_attn.dense", hidden, queries),
            mlp_norm: None,
            gate: None,
            up: product("mlp.fc1", wide, hidden),
            down: product("mlp.fc2", hidden, wide),
        }
    };
    Plan {
        embedding: "model.embed_tokens.weight".to_owned(),
        positions: None,
        layers: (0..config.num_layers).map(layer).collect(),
        final_norm: norm("model.final_layernorm".to_owned()),
        untied_head: (!config.tie_word_embeddings).then(|| "lm_head.weight".to_owned()),
        head_bias: Some("lm_head.bias".to_owned()),
        hidden: config.hidden_size,
        vocab: config.vocab_size,
        longest: config.max_position_embeddings,
    }
}
