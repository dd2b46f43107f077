//! The forward pass: layers, one after the other, with every hook shown to whoever runs it.

use super::{
    HookPoint, LanguageModel, Site,
    kv_cache::KvCache,
    mlp::Mlp,
    norm::Norm,
    self_attention::{Factors, SelfAttention},
    table,
};
use std::ops::ControlFlow;
use tch::{TchError, Tensor};

/// A layer.
pub(super) struct Layer {
    pub(super) attention_norm: Norm,
    pub(super) attention: SelfAttention,
    /// None: the MLP reads what attention reads.
    pub(super) mlp_norm: Option<Norm>,
    pub(super) mlp: Mlp,
    /// Whether attention and MLP read the same residual stream.
    pub(super) is_parallel: bool,
}

/// Is shown the activation at every hook, and says whether to break off, or to go on, possibly with another activation.
pub(super) type Visit<'a> =
    dyn FnMut(HookPoint, &Tensor) -> Result<ControlFlow<(), Option<Tensor>>, TchError> + 'a;

/// A visitor broke off, or libtorch refused.
enum End {
    BrokenOff,
    Failed(TchError),
}

impl From<TchError> for End {
    fn from(error: TchError) -> Self {
        Self::Failed(error)
    }
}

impl LanguageModel {
    /// Runs the loaded layers on `tokens` (`[batch, length]`) at the positions behind those in `cache`, which gets their keys
    /// and values. Returns the residual stream, or nothing if the visitor broke off.
    pub(super) fn run(
        &self,
        tokens: &Tensor,
        mut cache: Option<&mut KvCache>,
        visit: &mut Visit<'_>,
    ) -> Result<Option<Tensor>, TchError> {
        let _no_grad = tch::no_grad_guard();
        let (_, length) = tokens.size2()?;
        let start = cache.as_ref().map_or(0, |cache| cache.length());
        let rotary = self.rotary.as_ref();
        let factors = rotary
            .map(|rotary| Factors::new(rotary, start, length, self.config.head_dim))
            .transpose()?;
        let tokens = tokens.f_to_device(self.device)?;
        let mut residual = table::rows(&self.embedding, &tokens, self.kind)?;
        if let Some(positions) = &self.positions {
            residual = residual.f_add_(&positions.f_narrow(0, start, length)?)?;
        }
        for (number, layer) in self.layers.iter().enumerate() {
            let cached = cache.as_deref().map(|cache| (cache, number));
            residual = match layer.forward(number, &residual, factors.as_ref(), cached, visit) {
                Ok(residual) => residual,
                Err(End::BrokenOff) => return Ok(None),
                Err(End::Failed(error)) => return Err(error),
            };
        }
        if let Some(cache) = cache.as_mut() {
            cache.advance(length);
        }
        Ok(Some(residual))
    }
}

impl Layer {
    fn forward(
        &self,
        number: usize,
        residual: &Tensor,
        factors: Option<&Factors>,
        cache: Option<(&KvCache, usize)>,
        visit: &mut Visit<'_>,
    ) -> Result<Tensor, End> {
        let mut shown = |site, activation: Tensor| {
            let point = HookPoint {
                layer: number,
                site,
            };
            show(point, activation, visit)
        };
        let normed = self.attention_norm.forward(residual)?;
        let attention = self.attention.forward(&normed, factors, cache)?;
        let attention = shown(Site::AttentionOutput, attention)?;
        let after_attention = residual.f_add(&attention)?;
        let read = if self.is_parallel {
            residual
        } else {
            &after_attention
        };
        let input = match &self.mlp_norm {
            Some(norm) => norm.forward(read)?,
            None => normed,
        };
        let input = shown(Site::MlpInput, input)?;
        let mlp = shown(Site::MlpOutput, self.mlp.forward(&input)?)?;
        shown(Site::Residual, after_attention.f_add(&mlp)?)
    }
}

/// What the pass goes on with at `point`.
fn show(point: HookPoint, activation: Tensor, visit: &mut Visit<'_>) -> Result<Tensor, End> {
    match visit(point, &activation)? {
        ControlFlow::Break(()) => Err(End::BrokenOff),
        ControlFlow::Continue(None) => Ok(activation),
        ControlFlow::Continue(Some(replacement)) if replacement.size() == activation.size() => {
            Ok(replacement
                .f_to_device(activation.device())?
                .f_to_kind(activation.kind())?)
        }
        ControlFlow::Continue(Some(replacement)) => Err(End::Failed(TchError::Shape(format!(
            "an activation of shape {:?} at {point:?} cannot be replaced by one of shape {:?}",
            activation.size(),
            replacement.size()
        )))),
    }
}
