//! Loads a model's weights, and joins and reorders them as the forward pass reads them.

use super::{
    Checkpoint, LanguageModel, LanguageModelError, LlamaConfig, LoadOptions,
    forward::Layer,
    linear::Linear,
    mlp::Mlp,
    model::Head,
    norm::Norm,
    rotary::{Rotary, interleaved},
    self_attention::SelfAttention,
};
use std::ops::ControlFlow;
use tch::Tensor;

/// Loads one model.
pub(super) struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    options: LoadOptions,
    layers: usize,
    loaded: usize,
    to_load: usize,
    progress: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(
        checkpoint: &'a Checkpoint,
        options: LoadOptions,
        progress: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, LanguageModelError> {
        let there_are = checkpoint.config().num_layers;
        let layers = options.layers.unwrap_or(there_are);
        if layers > there_are {
            return Err(LanguageModelError::NoSuchLayer {
                layer: layers - 1,
                last: there_are - 1,
            });
        }
        let to_load = checkpoint
            .config()
            .weights(layers, options.layers.is_none())
            .len();
        Ok(Self {
            checkpoint,
            options,
            layers,
            loaded: 0,
            to_load,
            progress,
        })
    }

    pub(super) fn load(mut self) -> Result<LanguageModel, LanguageModelError> {
        let config = self.checkpoint.config().clone();
        let embedding = self.weight(
            "model.embed_tokens.weight",
            &[config.vocab_size, config.hidden_size],
        )?;
        let layers = (0..self.layers)
            .map(|number| self.layer(&config, number))
            .collect::<Result<_, _>>()?;
        let head = match self.options.layers {
            Some(_) => None,
            None => Some(Head {
                norm: self.norm("model.norm", &config)?,
                unembedding: if config.tie_word_embeddings {
                    embedding.shallow_clone()
                } else {
                    self.weight("lm_head.weight", &[config.vocab_size, config.hidden_size])?
                },
            }),
        };
        Ok(LanguageModel {
            rotary: Rotary::new(&config, self.options.device)?,
            kind: self.options.kind,
            device: self.options.device,
            config,
            embedding,
            layers,
            head,
        })
    }

    fn layer(&mut self, config: &LlamaConfig, number: usize) -> Result<Layer, LanguageModelError> {
        let at = format!("model.layers.{number}");
        let (heads, shared) = (config.num_attention_heads, config.num_key_value_heads);
        let queries = heads * config.head_dim;
        let keys = shared * config.head_dim;
        let (hidden, wide) = (config.hidden_size, config.intermediate_size);
        let attention = |name: &str| format!("{at}.self_attn.{name}");
        let mlp = |name: &str| format!("{at}.mlp.{name}");
        let biased = config.attention_bias;
        Ok(Layer {
            attention_norm: self.norm(&format!("{at}.input_layernorm"), config)?,
            attention: SelfAttention {
                query_key_value: self.stacked(
                    &[
                        (attention("q_proj"), queries, Some(heads)),
                        (attention("k_proj"), keys, Some(shared)),
                        (attention("v_proj"), keys, None),
                    ],
                    hidden,
                    biased,
                )?,
                output: self.stacked(&[(attention("o_proj"), hidden, None)], queries, biased)?,
                heads,
                shared,
                width: config.head_dim,
            },
            mlp_norm: self.norm(&format!("{at}.post_attention_layernorm"), config)?,
            mlp: Mlp::Gated {
                gate: self.stacked(&[(mlp("gate_proj"), wide, None)], hidden, config.mlp_bias)?,
                up: self.stacked(&[(mlp("up_proj"), wide, None)], hidden, config.mlp_bias)?,
                down: self.stacked(&[(mlp("down_proj"), hidden, None)], wide, config.mlp_bias)?,
            },
        })
    }

    /// Products that read the same input, as one: names, rows, and heads where rows are to be interleaved.
    fn stacked(
        &mut self,
        parts: &[(String, i64, Option<i64>)],
        columns: i64,
        biased: bool,
    ) -> Result<Linear, LanguageModelError> {
        let torch = LanguageModelError::torch("join weights");
        let interleave = !self.checkpoint.pairs_are_interleaved();
        let mut weights = Vec::new();
        let mut biases = Vec::new();
        for (name, rows, heads) in parts {
            let order = |weight: Tensor| match heads {
                Some(heads) if interleave => interleaved(&weight, *heads).map_err(&torch),
                _ => Ok(weight),
            };
            weights.push(order(
                self.weight(&format!("{name}.weight"), &[*rows, columns])?,
            )?);
            if biased {
                biases.push(order(self.weight(&format!("{name}.bias"), &[*rows])?)?);
            }
        }
        let join = |tensors: Vec<Tensor>| match tensors.as_slice() {
            [only] => Ok(only.shallow_clone()),
            several => Tensor::f_cat(several, 0).map_err(&torch),
        };
        let bias = if biased { Some(join(biases)?) } else { None };
        Linear::new(join(weights)?, bias).map_err(&torch)
    }

    fn norm(&mut self, name: &str, config: &LlamaConfig) -> Result<Norm, LanguageModelError> {
        let weight = self.weight(&format!("{name}.weight"), &[config.hidden_size])?;
        Ok(Norm::Rms {
            weight,
            epsilon: config.rms_norm_eps,
        })
    }

    fn weight(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, LanguageModelError> {
        let weight = self
            .checkpoint
            .weight(name, shape, self.options.kind, self.options.device)?;
        self.loaded += 1;
        match (self.progress)(self.loaded, self.to_load) {
            ControlFlow::Continue(()) => Ok(weight),
            ControlFlow::Break(()) => Err(LanguageModelError::Cancelled),
        }
    }
}
