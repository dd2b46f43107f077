//! The large tensors of a step, allocated once.

use super::parameters::Parameters;
use tch::{Kind, TchError, Tensor};

/// Everything a step needs beside parameters and gradients, for `b` activations of width `d` and `n` latents. `kind` is the element type of
/// matrix products.
#[derive(Debug)]
pub(super) struct Workspace {
    pub kind: Kind,
    /// f32 [b, d]: the activations less the decoder's bias, which the encoder reads.
    pub centred: Tensor,
    /// kind [b, d]: `centred` as an operand.
    pub input: Tensor,
    /// kind [b, n]: pre-activations, then latents.
    pub latents: Tensor,
    /// kind [b, n]: gradient of the pre-activations.
    pub latent_gradient: Tensor,
    /// kind [b, d]: the reconstruction; then, in bf16, the residual's gradient as an operand.
    pub product: Tensor,
    /// f32 [b, d]: x̂ − x; then the gradient of the reconstruction.
    pub residual: Tensor,
    /// kind [n, d]: a weight's gradient before it is widened (empty in f32).
    weight_product: Tensor,
    encoder: Tensor,
    decoder: Tensor,
}

impl Workspace {
    pub(super) fn new(
        parameters: &Parameters,
        b: i64,
        kind: Kind,
        dense: bool,
    ) -> Result<Self, TchError> {
        let device = parameters.flat.device();
        let (n, d) = parameters.decoder.size2()?;
        let make = |kind, rows, columns| Tensor::f_empty([rows, columns], (kind, device));
        let narrow = kind != Kind::Float;
        let copy = |of: &Tensor| {
            if narrow {
                of.f_to_kind(kind)
            } else {
                Ok(of.shallow_clone())
            }
        };
        let centred = make(Kind::Float, b, d)?;
        Ok(Self {
            kind,
            input: if narrow {
                make(kind, b, d)?
            } else {
                centred.shallow_clone()
            },
            centred,
            latents: make(kind, b, n)?,
            latent_gradient: make(kind, if dense { b } else { 0 }, n)?,
            product: make(kind, b, d)?,
            residual: make(Kind::Float, b, d)?,
            weight_product: make(kind, if narrow && dense { n } else { 0 }, d)?,
            encoder: copy(&parameters.encoder)?,
            decoder: copy(&parameters.decoder)?,
        })
    }

    /// The decoder as an operand, [n, d].
    pub(super) fn decoder(&self) -> &Tensor {
        &self.decoder
    }

    /// Takes up changed parameters and a batch (f32 [b, d], already scaled).
    pub(super) fn begin(
        &mut self,
        parameters: &Parameters,
        batch: &Tensor,
    ) -> Result<(), TchError> {
        let _ = batch.f_sub_out(&self.centred, &parameters.decoder_bias)?;
        if self.kind != Kind::Float {
            self.encoder.f_copy_(&parameters.encoder)?;
            self.decoder.f_copy_(&parameters.decoder)?;
            self.input.f_copy_(&self.centred)?;
        }
        Ok(())
    }

    /// `pre[b, n] = (x − b_dec)·W_enc + b_enc` into `latents`.
    pub(super) fn encode(&mut self, parameters: &Parameters) -> Result<(), TchError> {
        let _ = self.input.f_mm_out(&self.latents, &self.encoder.f_tr()?)?;
        let bias = parameters.encoder_bias.f_to_kind(self.kind)?;
        let _ = self.latents.f_add_(&bias)?;
        Ok(())
    }

    /// `residual ← 2/b · residual`, the gradient of the reconstruction loss; returned as an operand.
    pub(super) fn scale_residual(&mut self) -> Result<Tensor, TchError> {
        let b = self.residual.size2()?.0;
        let _ = self.residual.f_mul_scalar_(2.0 / b as f64)?;
        if self.kind == Kind::Float {
            return Ok(self.residual.shallow_clone());
        }
        self.product.f_copy_(&self.residual)?;
        Ok(self.product.shallow_clone())
    }

    /// `into[n, d] = left[b, n]ᵀ · right[b, d]`, widened to f32.
    pub(super) fn weight_gradient(
        &self,
        into: &mut Tensor,
        left: &Tensor,
        right: &Tensor,
    ) -> Result<(), TchError> {
        let left = left.f_tr()?;
        if self.kind == Kind::Float {
            let _ = left.f_mm_out(into, right)?;
        } else {
            let _ = left.f_mm_out(&self.weight_product, right)?;
            into.f_copy_(&self.weight_product)?;
        }
        Ok(())
    }
}
