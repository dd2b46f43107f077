//! The logit lens (nostalgebraist 2020): what a direction of the residual stream does to the logits.

use super::{LanguageModel, LanguageModelError, table};
use tch::{Kind, Tensor};

impl LanguageModel {
    /// The unembedding W_U: `[vocab, hidden]`, of the model's kind, or f16 where the model's weights are integers.
    ///
    /// # Errors
    /// [`LanguageModelError::NoSuchLayer`] if only some layers were loaded.
    pub fn unembedding(&self) -> Result<&Tensor, LanguageModelError> {
        Ok(&self.head()?.unembedding)
    }

    /// How much each of `directions` (`[n, hidden]`) promotes each token: `W_U (norm_weight · direction)`, `[n, vocab]`, f32. The
    /// final norm's linear part is applied (its weight; of a LayerNorm also the centring), its division by the size of the
    /// residual stream is not.
    ///
    /// Takes `4 · n · vocab` bytes, so pass as many directions at once as there is memory for.
    ///
    /// # Errors
    /// [`LanguageModelError::NoSuchLayer`] if only some layers were loaded, [`LanguageModelError::Torch`].
    pub fn promoted(&self, directions: &Tensor) -> Result<Tensor, LanguageModelError> {
        let head = self.head()?;
        let _no_grad = tch::no_grad_guard();
        directions
            .f_to_device(self.device)
            .and_then(|directions| {
                let normed = head.norm.linear_part(&directions)?.f_to_kind(self.kind)?;
                table::product(&normed, &head.unembedding, None)?.f_to_kind(Kind::Float)
            })
            .map_err(LanguageModelError::torch("apply the logit lens"))
    }
}
