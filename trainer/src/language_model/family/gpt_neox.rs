//! GPT-NeoX (Black et al. 2022, arXiv:2204.06745), which Pythia is: attention and MLP in parallel, rotary embeddings on a part of
//! each head, queries, keys and values of a head side by side.

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
    max_position_embeddings: Option<i64>,
    layer_norm_eps: Option<f64>,
    #[serde(flatten)]
    rope: RopeJson,
    rotary_pct: Option<f64>,
    use_parallel_residual: Option<bool>,
    hidden_act: Option<String>,
    #[serde(default)]
    tie_word_embeddings: bool,
    attention_bias: Option<bool>,
}

pub(super) fn config(json: Value) -> Result<ModelConfig, ConfigFault> {
    let json: Json =
        serde_json::from_value(json).map_err(|error| ConfigFault::Malformed(error.to_string()))?;
    let head_dim = json
        .hidden_size
        .checked_div(json.num_attention_heads)
        .unwrap_or(0);
    Ok(ModelConfig {
        family: Family::GptNeox,
        vocab_size: json.vocab_size,
        hidden_size: json.hidden_size,
        intermediate_size: json.intermediate_size,
        num_layers: json.num_hidden_layers,
        num_attention_heads: json.num_attention_heads,
        num_key_value_heads: json.num_attention_heads,
        head_dim,
        max_position_embeddings: json.max_position_embeddings.unwrap_or(2048),
        norm_eps: json.layer_norm_eps.unwrap_or(1e-5),
        rotary: Some(RotaryConfig {
            theta: json.rope.theta(),
            turned: json.rope.turned(head_dim, json.rotary_pct.unwrap_or(0.25)),
            scaling: json.rope.scaling().map_err(ConfigFault::Unsupported)?,
        }),
        activation: Activation::named(
            json.hidden_act.as_deref().unwrap_or("gelu"),
            &["gelu", "gelu_new", "relu"],
        )?,
        is_parallel: json.use_parallel_residual.unwrap_or(true),
        tie_word_embeddings: json.tie_word_embeddings,
        attention_bias: json.attention_bias.unwrap_or(true),
        mlp_bias: true,
    })
}

pub(super) fn plan(config: &ModelConfig) -> Plan {
    let norm = |name: String| NormPlan { name, biased: true };
    let layer = |number: usize| {
        let name = config.family.layer_name(number);
        let at = |part: &str| format!("{name}.{part}");
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let biased = config.attention_bias;
        LayerPlan {
            attention_norm: norm(at("input_layernorm")),
            query_key_value: vec![
                Product::new(at("attention.query_key_value"), 3 * hidden, hidden, biased).of(
                    Rows::PerHead {
                        count: config.num_attention_heads,
                        turned: config.turned(),
                    },
                ),
            ],
            attention_output: Product::new(at("attention.dense"), hidden, hidden, biased),
            mlp_norm: Some(norm(at("post_attention_layernorm"))),
            gate: None,
            up: Product::new(at("mlp.dense_h_to_4h"), wide, hidden, true),
            down: Product::new(at("mlp.dense_4h_to_h"), hidden, wide, true),
        }
    };
    Plan {
        embedding: "gpt_neox.embed_in.weight".to_owned(),
        positions: None,
        layers: (0..config.num_layers).map(layer).collect(),
        final_norm: norm("gpt_neox.final_layer_norm".to_owned()),
        untied_head: (!config.tie_word_embeddings).then(|| "embed_out.weight".to_owned()),
        head_bias: None,
        hidden: config.hidden_size,
        vocab: config.vocab_size,
        longest: config.max_position_embeddings,
    }
}
