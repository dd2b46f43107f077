//! The Llama forward pass (Touvron et al. 2023, arXiv:2302.13971), with hooks.

use super::{
    Checkpoint, HookPoint, LanguageModelError, LlamaConfig, attention,
    linear::Linear,
    rotary::{Rotary, interleaved},
};
use std::{ops::ControlFlow, path::Path};
use tch::{Device, Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::Hook;

/// How to load a model.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Where it computes.
    pub device: Device,
    /// What it computes in: `Kind::Float` or `Kind::BFloat16`.
    pub kind: Kind,
    /// Load only this many layers and no head; none: the whole model.
    pub layers: Option<usize>,
}

/// A language model of the Llama family, ready to run. It computes no gradients.
pub struct LanguageModel {
    config: LlamaConfig,
    kind: Kind,
    device: Device,
    /// `[vocab, hidden]`
    embedding: Tensor,
    layers: Vec<Layer>,
    rotary: Rotary,
    /// Absent where only some layers were loaded.
    head: Option<Head>,
}

/// What queries and keys of each position are multiplied with, as complex numbers: `[length, 1, head_dim / 2]`.
struct Factors {
    /// With the scale of attention scores in it: 1 / √head_dim.
    queries: Tensor,
    keys: Tensor,
}

impl Factors {
    fn new(rotary: &Rotary, length: i64, head_dim: i64) -> Result<Self, TchError> {
        let keys = rotary.factors(length)?;
        let queries = keys.f_mul_scalar(1.0 / (head_dim as f64).sqrt())?;
        Ok(Self { queries, keys })
    }
}

/// A layer. Queries, keys and values are one product; gate and up are two, because what follows reads their results faster apart.
struct Layer {
    attention_norm: Norm,
    /// Queries, keys and values: `[(heads + 2 · key-value heads) · head_dim, hidden]`, queries and keys interleaved.
    query_key_value: Linear,
    /// `[hidden, heads · head_dim]`
    attention_output: Linear,
    mlp_norm: Norm,
    /// `[intermediate, hidden]`
    gate: Linear,
    /// `[intermediate, hidden]`
    up: Linear,
    /// `[hidden, intermediate]`
    down: Linear,
}

struct Head {
    norm: Norm,
    /// `[vocab, hidden]`
    unembedding: Tensor,
}

struct Norm {
    weight: Tensor,
    epsilon: f64,
}

impl Norm {
    /// RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467), in f32 whatever the kind of the input.
    fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        input.f_rms_norm(self.weight.size(), Some(&self.weight), self.epsilon)
    }
}

impl LanguageModel {
    /// Loads a model from a GGUF file or a Hugging Face directory. `progress` is told after each weight how many of how many
    /// are loaded, and may end the loading.
    ///
    /// # Errors
    /// What is wrong with the files, [`LanguageModelError::NoSuchLayer`] for more layers than there are,
    /// [`LanguageModelError::Cancelled`].
    pub fn load(
        path: &Path,
        options: LoadOptions,
        progress: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Self, LanguageModelError> {
        let checkpoint = Checkpoint::open(path)?;
        let _no_grad = tch::no_grad_guard();
        Loader::new(&checkpoint, options, progress)?.load()
    }

    /// The model's configuration (of the whole model, however many layers are loaded).
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// What it computes in, which is the kind of what it returns.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it computes, which is where it returns tensors.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The activations at `hooks`, in their order, each `[batch, length, hidden]`, for `tokens` (`[batch, length]`, i64, each
    /// sequence at positions from 0). Attention is causal, so padding at the end changes nothing before it. Computes up to
    /// the deepest hook and no further.
    ///
    /// # Errors
    /// [`LanguageModelError::NoSuchLayer`] for a layer that is not loaded, [`LanguageModelError::Torch`].
    pub fn activations(
        &self,
        tokens: &Tensor,
        hooks: &[HookPoint],
    ) -> Result<Vec<Tensor>, LanguageModelError> {
        for point in hooks {
            if point.layer >= self.layers.len() {
                return Err(LanguageModelError::NoSuchLayer {
                    layer: point.layer,
                    last: self.layers.len().saturating_sub(1),
                });
            }
        }
        let mut seen: Vec<Option<Tensor>> = hooks.iter().map(|_| None).collect();
        let Some(deepest) = hooks.iter().map(|point| depth(*point)).max() else {
            return Ok(Vec::new());
        };
        let _residual = self
            .run(tokens, &mut |point, activation| {
                for (slot, wanted) in seen.iter_mut().zip(hooks) {
                    if *wanted == point {
                        *slot = Some(activation.shallow_clone());
                    }
                }
                if depth(point) == deepest {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .map_err(LanguageModelError::torch("run the language model"))?;
        // Each hook lies at or before the deepest one, which was reached.
        Ok(seen.into_iter().flatten().collect())
    }

    /// The logits of the next token at every position: `[batch, length, vocab]`.
    ///
    /// # Errors
    /// [`LanguageModelError::NoSuchLayer`] if only some layers were loaded, [`LanguageModelError::Torch`].
    pub fn logits(&self, tokens: &Tensor) -> Result<Tensor, LanguageModelError> {
        let head = self
            .head
            .as_ref()
            .ok_or_else(|| LanguageModelError::NoSuchLayer {
                layer: self.config.num_layers - 1,
                last: self.layers.len().saturating_sub(1),
            })?;
        self.run(tokens, &mut |_, _| ControlFlow::Continue(()))
            .and_then(|residual| {
                head.norm
                    .forward(&residual)?
                    .f_linear(&head.unembedding, None::<&Tensor>)
            })
            .map_err(LanguageModelError::torch("run the language model"))
    }

    /// Runs the layers, showing every hook's activation to `see` until it breaks off. Returns the residual stream.
    fn run(
        &self,
        tokens: &Tensor,
        see: &mut dyn FnMut(HookPoint, &Tensor) -> ControlFlow<()>,
    ) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let (_, length) = tokens.size2()?;
        let factors = Factors::new(&self.rotary, length, self.config.head_dim)?;
        let tokens = tokens.f_to_device(self.device)?;
        let mut residual = Tensor::f_embedding(&self.embedding, &tokens, -1, false, false)?;
        for (number, layer) in self.layers.iter().enumerate() {
            let at = |hook| HookPoint {
                layer: number,
                hook,
            };
            let attention =
                self.attention(layer, &layer.attention_norm.forward(&residual)?, &factors)?;
            if see(at(Hook::Attention), &attention).is_break() {
                break;
            }
            let after_attention = residual.f_add(&attention)?;
            let mlp = mlp(layer, &layer.mlp_norm.forward(&after_attention)?)?;
            if see(at(Hook::Mlp), &mlp).is_break() {
                break;
            }
            residual = after_attention.f_add(&mlp)?;
            if see(at(Hook::Residual), &residual).is_break() {
                break;
            }
        }
        Ok(residual)
    }

    /// Attention of `input` (`[batch, length, hidden]`).
    fn attention(
        &self,
        layer: &Layer,
        input: &Tensor,
        factors: &Factors,
    ) -> Result<Tensor, TchError> {
        let (batch, length, _) = input.size3()?;
        let (heads, shared, width) = (
            self.config.num_attention_heads,
            self.config.num_key_value_heads,
            self.config.head_dim,
        );
        let all = layer.query_key_value.forward(input)?.f_view([
            batch,
            length,
            heads + 2 * shared,
            width,
        ])?;
        let queries = Rotary::turn(&all.f_narrow(2, 0, heads)?, &factors.queries)?;
        let keys = Rotary::turn(&all.f_narrow(2, heads, shared)?, &factors.keys)?;
        let values = all.f_narrow(2, heads + shared, shared)?;
        layer
            .attention_output
            .forward(&attention::causal(&queries, &keys, &values)?)
    }
}

/// Order in which hooks are reached.
fn depth(point: HookPoint) -> (usize, u8) {
    let within = match point.hook {
        Hook::Attention => 0,
        Hook::Mlp => 1,
        Hook::Residual => 2,
    };
    (point.layer, within)
}

/// SwiGLU (Shazeer 2020, arXiv:2002.05202).
fn mlp(layer: &Layer, input: &Tensor) -> Result<Tensor, TchError> {
    let gated = layer
        .gate
        .forward(input)?
        .f_silu_()?
        .f_mul_(&layer.up.forward(input)?)?;
    layer.down.forward(&gated)
}

/// Loads one model.
struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    options: LoadOptions,
    layers: usize,
    loaded: usize,
    to_load: usize,
    progress: &'a mut dyn FnMut(usize, usize) -> ControlFlow<()>,
}

impl<'a> Loader<'a> {
    fn new(
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

    fn load(mut self) -> Result<LanguageModel, LanguageModelError> {
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
            query_key_value: self.stacked(
                &[
                    (attention("q_proj"), queries, Some(heads)),
                    (attention("k_proj"), keys, Some(shared)),
                    (attention("v_proj"), keys, None),
                ],
                hidden,
                biased,
            )?,
            attention_output: self.stacked(
                &[(attention("o_proj"), hidden, None)],
                queries,
                biased,
            )?,
            mlp_norm: self.norm(&format!("{at}.post_attention_layernorm"), config)?,
            gate: self.stacked(&[(mlp("gate_proj"), wide, None)], hidden, config.mlp_bias)?,
            up: self.stacked(&[(mlp("up_proj"), wide, None)], hidden, config.mlp_bias)?,
            down: self.stacked(&[(mlp("down_proj"), hidden, None)], wide, config.mlp_bias)?,
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
        Ok(Norm {
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
