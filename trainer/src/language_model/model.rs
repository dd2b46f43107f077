//! A language model, loaded, and the ways to run it.

use super::{
    Checkpoint, HookPoint, Intervene, LanguageModelError, ModelConfig, forward::Layer,
    kv_cache::KvCache, loader::Loader, norm::Norm, rotary::Rotary, table,
};
use std::{ops::ControlFlow, path::Path};
use tch::{Device, Kind, TchError, Tensor};

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

/// A language model, ready to run. It computes no gradients.
pub struct LanguageModel {
    pub(super) config: ModelConfig,
    pub(super) kind: Kind,
    pub(super) device: Device,
    /// `[vocab, hidden]`; like the unembedding and learned positions of another kind where the weights are integers.
    pub(super) embedding: Tensor,
    pub(super) layers: Vec<Layer>,
    /// Learned positions: `[max_position_embeddings, hidden]`.
    pub(super) positions: Option<Tensor>,
    pub(super) rotary: Option<Rotary>,
    /// Absent where only some layers were loaded.
    pub(super) head: Option<Head>,
}

pub(super) struct Head {
    pub(super) norm: Norm,
    /// `[vocab, hidden]`
    pub(super) unembedding: Tensor,
    /// `[vocab]`
    pub(super) bias: Option<Tensor>,
}

impl Head {
    /// The logits of `residual` (`[…, hidden]`): `[…, vocab]`.
    fn forward(&self, residual: &Tensor) -> Result<Tensor, TchError> {
        let normed = self.norm.forward(residual)?;
        table::product(&normed, &self.unembedding, self.bias.as_ref())
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
    pub fn config(&self) -> &ModelConfig {
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
    /// [`LanguageModelError::NoSuchLayer`] for a layer that is not loaded, [`LanguageModelError::TooLong`] for more positions than
    /// were learned, [`LanguageModelError::Torch`].
    pub fn activations(
        &self,
        tokens: &Tensor,
        hooks: &[HookPoint],
    ) -> Result<Vec<Tensor>, LanguageModelError> {
        for point in hooks {
            if point.layer >= self.layers.len() {
                return Err(self.no_such_layer(point.layer));
            }
        }
        self.check_length(length_of(tokens)?)?;
        let mut seen: Vec<Option<Tensor>> = hooks.iter().map(|_| None).collect();
        let Some(deepest) = hooks.iter().max() else {
            return Ok(Vec::new());
        };
        let _broken_off = self
            .run(tokens, None, &mut |point, activation| {
                for (slot, wanted) in seen.iter_mut().zip(hooks) {
                    if *wanted == point {
                        *slot = Some(activation.shallow_clone());
                    }
                }
                Ok(if point == *deepest {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(None)
                })
            })
            .map_err(LanguageModelError::torch("run the language model"))?;
        // Each hook lies at or before the deepest one, which was reached.
        Ok(seen.into_iter().flatten().collect())
    }

    /// The logits of the next token at every position: `[batch, length, vocab]`.
    ///
    /// # Errors
    /// [`LanguageModelError::NoSuchLayer`] if only some layers were loaded, [`LanguageModelError::TooLong`],
    /// [`LanguageModelError::Torch`].
    pub fn logits(&self, tokens: &Tensor) -> Result<Tensor, LanguageModelError> {
        self.logits_with(tokens, &mut |_, _| Ok(None))
    }

    /// The same with interventions: `intervene` sees each hook's activation, and what it returns replaces that activation for
    /// the rest of the pass.
    ///
    /// # Errors
    /// As [`LanguageModel::logits`]; what `intervene` returns as an error, or a replacement of another shape, is
    /// [`LanguageModelError::Torch`].
    pub fn logits_with(
        &self,
        tokens: &Tensor,
        intervene: &mut Intervene<'_>,
    ) -> Result<Tensor, LanguageModelError> {
        let head = self.head()?;
        let residual = self.residual(tokens, intervene)?;
        let _no_grad = tch::no_grad_guard();
        head.forward(&residual)
            .map_err(LanguageModelError::torch("run the language model"))
    }

    /// The residual stream after all layers, with interventions: `[batch, length, hidden]`.
    pub(super) fn residual(
        &self,
        tokens: &Tensor,
        intervene: &mut Intervene<'_>,
    ) -> Result<Tensor, LanguageModelError> {
        self.check_length(length_of(tokens)?)?;
        self.residual_with(tokens, None, intervene)
            .map_err(LanguageModelError::torch("run the language model"))
    }

    /// The logits of the token after the last of `tokens` (`[batch, new]`, which follow the positions in `cache` and are added to
    /// it): `[batch, vocab]`. `intervene` sees the activations of the new positions only. After an error the cache is as before.
    ///
    /// # Errors
    /// As [`LanguageModel::logits_with`]; [`LanguageModelError::TooLong`] where the cache's capacity does not suffice.
    pub fn next_logits(
        &self,
        tokens: &Tensor,
        cache: &mut KvCache,
        intervene: &mut Intervene<'_>,
    ) -> Result<Tensor, LanguageModelError> {
        let head = self.head()?;
        let length = cache.length() + length_of(tokens)?;
        if length > cache.capacity() {
            return Err(LanguageModelError::TooLong {
                length,
                longest: cache.capacity(),
            });
        }
        let _no_grad = tch::no_grad_guard();
        self.residual_with(tokens, Some(cache), intervene)
            .and_then(|residual| head.forward(&residual.f_select(1, -1)?))
            .map_err(LanguageModelError::torch("run the language model"))
    }

    /// Learned positions end somewhere; rotary ones do not.
    pub(super) fn check_length(&self, length: i64) -> Result<(), LanguageModelError> {
        match &self.positions {
            Some(_) if length > self.config.max_position_embeddings => {
                Err(LanguageModelError::TooLong {
                    length,
                    longest: self.config.max_position_embeddings,
                })
            }
            _ => Ok(()),
        }
    }

    /// Layers that are loaded.
    pub(super) fn loaded_layers(&self) -> usize {
        self.layers.len()
    }

    /// The final norm and the unembedding.
    pub(super) fn head(&self) -> Result<&Head, LanguageModelError> {
        self.head
            .as_ref()
            .ok_or_else(|| self.no_such_layer(self.config.num_layers - 1))
    }

    fn no_such_layer(&self, layer: usize) -> LanguageModelError {
        LanguageModelError::NoSuchLayer {
            layer,
            last: self.layers.len().saturating_sub(1),
        }
    }

    /// The residual stream after all layers.
    fn residual_with(
        &self,
        tokens: &Tensor,
        cache: Option<&mut KvCache>,
        intervene: &mut Intervene<'_>,
    ) -> Result<Tensor, TchError> {
        let residual = self.run(tokens, cache, &mut |point, activation| {
            intervene(point, activation).map(ControlFlow::Continue)
        })?;
        residual.ok_or_else(|| TchError::Torch("the pass was broken off".to_owned()))
    }
}

fn length_of(tokens: &Tensor) -> Result<i64, LanguageModelError> {
    let (_, length) = tokens
        .size2()
        .map_err(LanguageModelError::torch("read tokens"))?;
    Ok(length)
}
