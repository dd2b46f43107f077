//! Loads a model's weights, and joins and reorders them as the forward pass reads them.

use super::{
    Checkpoint, LanguageModel, LanguageModelError, LoadOptions, ModelConfig,
    forward::Layer,
    linear::Linear,
    mlp::Mlp,
    model::Head,
    norm::Norm,
    plan::{LayerPlan, NormPlan, Plan, Product, Rows},
    quantized_weight::QuantizedWeight,
    rotary::{Rotary, interleaved},
    self_attention::SelfAttention,
};
use std::ops::ControlFlow;
use tch::{Kind, TchError, Tensor};

/// Loads one model.
pub(super) struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    plan: Plan,
    /// What quantised weights are dequantised into; empty where none are.
    buffer: Tensor,
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
        let plan = checkpoint.plan();
        let buffered = if checkpoint.has_integers() {
            plan.largest_product(layers)
        } else {
            0
        };
        let buffer = Tensor::f_empty([buffered], (options.kind, options.device))
            .map_err(LanguageModelError::torch("allocate memory for weights"))?;
        let to_load = plan.weights(layers, options.layers.is_none()).len();
        Ok(Self {
            checkpoint,
            plan,
            buffer,
            options,
            layers,
            loaded: 0,
            to_load,
            progress,
        })
    }

    pub(super) fn load(mut self) -> Result<LanguageModel, LanguageModelError> {
        let config = self.checkpoint.config().clone();
        let table = [config.vocab_size, config.hidden_size];
        let embedding = self.table(&self.plan.embedding.clone(), &table)?;
        let positions = match self.plan.positions.clone() {
            Some(name) => {
                Some(self.weight(&name, &[config.max_position_embeddings, config.hidden_size])?)
            }
            None => None,
        };
        let plans = std::mem::take(&mut self.plan.layers);
        let layers = plans
            .iter()
            .take(self.layers)
            .map(|plan| self.layer(&config, plan))
            .collect::<Result<_, _>>()?;
        let head = match self.options.layers {
            Some(_) => None,
            None => Some(self.head(&config, &embedding)?),
        };
        let rotary = config
            .rotary
            .as_ref()
            .map(|rotary| Rotary::new(rotary, config.head_dim, self.options.device))
            .transpose()?;
        Ok(LanguageModel {
            rotary,
            kind: self.options.kind,
            device: self.options.device,
            config,
            embedding,
            positions,
            layers,
            head,
        })
    }

    fn layer(
        &mut self,
        config: &ModelConfig,
        plan: &LayerPlan,
    ) -> Result<Layer, LanguageModelError> {
        Ok(Layer {
            attention_norm: self.norm(config, &plan.attention_norm)?,
            attention: SelfAttention {
                query_key_value: self.product(&plan.query_key_value)?,
                output: self.product(std::slice::from_ref(&plan.attention_output))?,
                heads: config.num_attention_heads,
                shared: config.num_key_value_heads,
                width: config.head_dim,
            },
            mlp_norm: match &plan.mlp_norm {
                Some(norm) => Some(self.norm(config, norm)?),
                None => None,
            },
            mlp: Mlp {
                gate: match &plan.gate {
                    Some(gate) => Some(self.product(std::slice::from_ref(gate))?),
                    None => None,
                },
                up: self.product(std::slice::from_ref(&plan.up))?,
                down: self.product(std::slice::from_ref(&plan.down))?,
                activation: config.activation,
            },
            is_parallel: config.is_parallel,
        })
    }

    fn head(
        &mut self,
        config: &ModelConfig,
        embedding: &Tensor,
    ) -> Result<Head, LanguageModelError> {
        let norm = NormPlan {
            name: self.plan.final_norm.name.clone(),
            biased: self.plan.final_norm.biased,
        };
        Ok(Head {
            norm: self.norm(config, &norm)?,
            unembedding: match self.plan.untied_head.clone() {
                Some(name) => self.table(&name, &[config.vocab_size, config.hidden_size])?,
                None => embedding.shallow_clone(),
            },
            bias: match self.plan.head_bias.clone() {
                Some(name) => Some(self.weight(&name, &[config.vocab_size])?),
                None => None,
            },
        })
    }

    /// Products that read the same input, as one.
    fn product(&mut self, products: &[Product]) -> Result<Linear, LanguageModelError> {
        let (mut numbers, mut integers, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        for product in products {
            match self.checkpoint.quantized(product, self.options.device)? {
                Some(weight) => {
                    self.count()?;
                    let rows = self.rows_of(product);
                    let ordered = weight.with_rows(|part| ordered(part, rows));
                    integers.push(ordered.map_err(LanguageModelError::torch("reorder a weight"))?);
                }
                None => numbers.push(self.product_weight(product)?),
            }
            biases.extend(self.product_bias(product)?);
        }
        let join = |tensors: Vec<Tensor>| match tensors.as_slice() {
            [only] => Ok(only.shallow_clone()),
            several => Tensor::f_cat(several, 0),
        };
        let linear = || {
            let bias = match biases.as_slice() {
                [] => None,
                [only] => Some(only.shallow_clone()),
                several => Some(Tensor::f_cat(several, 0)?),
            };
            // Products with equal inputs are held alike.
            match QuantizedWeight::joined(&integers)? {
                Some(weight) => Linear::quantized(weight, bias, &self.buffer),
                None => Linear::new(join(numbers)?, bias),
            }
        };
        linear().map_err(LanguageModelError::torch("join weights"))
    }

    /// A product's weight: `[outputs, inputs]`, rows in the order of the forward pass.
    fn product_weight(&mut self, product: &Product) -> Result<Tensor, LanguageModelError> {
        let weight = self.weight(&product.weight(), &product.stored_shape())?;
        product
            .outputs_first(&weight)
            .and_then(|weight| ordered(&weight, self.rows_of(product)))
            .map_err(LanguageModelError::torch("reorder a weight"))
    }

    fn product_bias(&mut self, product: &Product) -> Result<Option<Tensor>, LanguageModelError> {
        let Some(name) = product.bias() else {
            return Ok(None);
        };
        let bias = self.weight(&name, &[product.outputs])?;
        ordered(&bias, self.rows_of(product))
            .map(Some)
            .map_err(LanguageModelError::torch("reorder a bias"))
    }

    /// How rows are to be reordered. Some files have pairs side by side already.
    fn rows_of(&self, product: &Product) -> Rows {
        match product.rows {
            Rows::Heads { .. } if self.checkpoint.pairs_are_interleaved() => Rows::Plain,
            rows => rows,
        }
    }

    fn norm(&mut self, config: &ModelConfig, plan: &NormPlan) -> Result<Norm, LanguageModelError> {
        let shape = [config.hidden_size];
        Ok(Norm {
            weight: self.weight(&format!("{}.weight", plan.name), &shape)?,
            bias: if plan.biased {
                Some(self.weight(&format!("{}.bias", plan.name), &shape)?)
            } else {
                None
            },
            epsilon: config.norm_eps,
        })
    }

    fn weight(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, LanguageModelError> {
        self.weight_as(name, shape, self.options.kind)
    }

    /// An embedding or unembedding, in what it is held in.
    fn table(&mut self, name: &str, shape: &[i64]) -> Result<Tensor, LanguageModelError> {
        self.weight_as(name, shape, self.checkpoint.table_kind(self.options.kind))
    }

    fn weight_as(
        &mut self,
        name: &str,
        shape: &[i64],
        kind: Kind,
    ) -> Result<Tensor, LanguageModelError> {
        let weight = self
            .checkpoint
            .weight(name, shape, kind, self.options.device)?;
        self.count()?;
        Ok(weight)
    }

    /// Counts a weight as loaded.
    fn count(&mut self) -> Result<(), LanguageModelError> {
        self.loaded += 1;
        match (self.progress)(self.loaded, self.to_load) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(LanguageModelError::Cancelled),
        }
    }
}

/// A weight's or bias's rows (`[rows, …]`) in the order in which the forward pass wants them: queries of all heads, keys, values;
/// in queries and keys the pairs that are turned side by side.
fn ordered(weight: &Tensor, rows: Rows) -> Result<Tensor, TchError> {
    match rows {
        Rows::Plain => Ok(weight.shallow_clone()),
        Rows::Heads { count, turned } => interleaved(weight, count, turned),
        Rows::PerHead { count, turned } => {
            let shape = weight.size();
            let per_head = weight.f_view([count, 3, shape[0] / count / 3, -1])?;
            let rest = &shape[1..];
            let part = |index: i64| {
                let shape = [&[shape[0] / 3], rest].concat();
                per_head.f_select(1, index)?.f_reshape(shape)
            };
            let parts = [
                interleaved(&part(0)?, count, turned)?,
                interleaved(&part(1)?, count, turned)?,
                part(2)?,
            ];
            Tensor::f_cat(&parts, 0)
        }
    }
}
