//! The large tensors of a step, allocated once.

use super::gradient::Activation;
use super::parameters::Parameters;
use tch::{Kind, TchError, Tensor};

/// Everything a step needs beside parameters and gradients, for `b` activations and `n` latents. `kind` is the element type of matrix
/// products.
#[derive(Debug)]
pub(super) struct Workspace {
    pub kind: Kind,
    /// f32 [b, d_in]: what the encoder reads: the activations, less the decoder's bias where both are the same activation.
    pub centred: Tensor,
    /// kind [b, d_in]: `centred` as an operand.
    pub input: Tensor,
    /// f32 [b, d_out]: what the latents have to make: the target less the decoder's bias and the skip connection.
    pub aim: Tensor,
    /// kind [b, n]: pre-activations, then latents.
    pub latents: Tensor,
    /// kind [b, n]: gradient of the pre-activations (of no rows where latents are always pairs).
    pub latent_gradient: Tensor,
    /// kind [b, d_out]: the reconstruction; then, in bf16, the residual's gradient as an operand.
    pub product: Tensor,
    /// f32 [b, d_out]: ŷ − y; then the gradient of the reconstruction.
    pub residual: Tensor,
    /// kind [n, d_in] and [n, d_out]: weights' gradients before they are widened (empty in f32).
    encoder_product: Tensor,
    decoder_product: Tensor,
    encoder: Tensor,
    decoder: Tensor,
    /// kind [d_out, d_in].
    skip: Option<Tensor>,
}

impl Workspace {
    pub(super) fn new(parameters: &Parameters, b: i64, kind: Kind) -> Result<Self, TchError> {
        let device = parameters.flat.device();
        let shape = parameters.shape;
        let (d_in, d_out, n) = (shape.d_in, shape.d_out, shape.d_sae);
        let make = |kind, rows, columns| Tensor::f_empty([rows, columns], (kind, device));
        let narrow = kind != Kind::Float;
        let copy = |of: &Tensor| {
            if narrow {
                of.f_to_kind(kind)
            } else {
                Ok(of.shallow_clone())
            }
        };
        let dense = !matches!(
            shape.activation,
            Activation::TopK(_) | Activation::BatchTopK(_)
        );
        let widened = if narrow && dense { n } else { 0 };
        let centred = make(Kind::Float, b, d_in)?;
        let encoder_product = make(kind, widened, d_in)?;
        Ok(Self {
            kind,
            input: if narrow {
                make(kind, b, d_in)?
            } else {
                centred.shallow_clone()
            },
            centred,
            aim: make(Kind::Float, b, d_out)?,
            latents: make(kind, b, n)?,
            latent_gradient: make(kind, if dense { b } else { 0 }, n)?,
            product: make(kind, b, d_out)?,
            residual: make(Kind::Float, b, d_out)?,
            decoder_product: if d_in == d_out {
                encoder_product.shallow_clone()
            } else {
                make(kind, widened, d_out)?
            },
            encoder_product,
            encoder: copy(&parameters.encoder)?,
            decoder: copy(&parameters.decoder)?,
            skip: match &parameters.skip {
                Some(skip) => Some(copy(skip)?),
                None => None,
            },
        })
    }

    /// Activations in a batch.
    pub(super) fn batch(&self) -> Result<i64, TchError> {
        Ok(self.residual.size2()?.0)
    }

    /// The decoder as an operand, [n, d_out].
    pub(super) fn decoder(&self) -> &Tensor {
        &self.decoder
    }

    /// Takes up changed parameters, and a batch and what is to be made of it (f32 [b, d_in] and [b, d_out], already scaled).
    pub(super) fn begin(
        &mut self,
        parameters: &Parameters,
        batch: &Tensor,
        target: &Tensor,
    ) -> Result<(), TchError> {
        if batch.size() != self.centred.size() || target.size() != self.aim.size() {
            return Err(TchError::Shape(format!(
                "a batch of {:?} with targets of {:?} is not one of {:?} with {:?}",
                batch.size(),
                target.size(),
                self.centred.size(),
                self.aim.size()
            )));
        }
        if parameters.shape.centres_input() {
            let _ = batch.f_sub_out(&self.centred, &parameters.decoder_bias)?;
        } else {
            self.centred.f_copy_(batch)?;
        }
        let _ = target.f_sub_out(&self.aim, &parameters.decoder_bias)?;
        if self.kind != Kind::Float {
            self.encoder.f_copy_(&parameters.encoder)?;
            self.decoder.f_copy_(&parameters.decoder)?;
            self.input.f_copy_(&self.centred)?;
        }
        if let (Some(operand), Some(skip)) = (&mut self.skip, &parameters.skip) {
            if self.kind != Kind::Float {
                operand.f_copy_(skip)?;
            }
            let _ = self.input.f_mm_out(&self.product, &operand.f_tr()?)?;
            let _ = self.aim.f_sub_(&self.product)?;
        }
        Ok(())
    }

    /// `pre[b, n] = input·W_enc + b_enc` into `latents`.
    pub(super) fn encode(&mut self, parameters: &Parameters) -> Result<(), TchError> {
        let _ = self.input.f_mm_out(&self.latents, &self.encoder.f_tr()?)?;
        let bias = parameters.encoder_bias.f_to_kind(self.kind)?;
        let _ = self.latents.f_add_(&bias)?;
        Ok(())
    }

    /// `residual ← 2/b · residual`, the gradient of the reconstruction loss.
    pub(super) fn scale_residual(&mut self) -> Result<(), TchError> {
        let b = self.batch()?;
        let _ = self.residual.f_mul_scalar_(2.0 / b as f64)?;
        Ok(())
    }

    /// The residual as an operand (in bf16, in place of the product).
    pub(super) fn residual_operand(&mut self) -> Result<Tensor, TchError> {
        if self.kind == Kind::Float {
            return Ok(self.residual.shallow_clone());
        }
        self.product.f_copy_(&self.residual)?;
        Ok(self.product.shallow_clone())
    }

    /// `into[n, d_in] = left[b, n]ᵀ · input[b, d_in]`, widened to f32.
    pub(super) fn encoder_gradient(
        &self,
        into: &mut Tensor,
        left: &Tensor,
    ) -> Result<(), TchError> {
        self.weight_gradient(into, &self.encoder_product, left, &self.input)
    }

    /// `into[n, d_out] = left[b, n]ᵀ · right[b, d_out]`, widened to f32.
    pub(super) fn decoder_gradient(
        &self,
        into: &mut Tensor,
        left: &Tensor,
        right: &Tensor,
    ) -> Result<(), TchError> {
        self.weight_gradient(into, &self.decoder_product, left, right)
    }

    fn weight_gradient(
        &self,
        into: &mut Tensor,
        product: &Tensor,
        left: &Tensor,
        right: &Tensor,
    ) -> Result<(), TchError> {
        let left = left.f_tr()?;
        if self.kind == Kind::Float {
            let _ = left.f_mm_out(into, right)?;
        } else {
            let _ = left.f_mm_out(product, right)?;
            into.f_copy_(product)?;
        }
        Ok(())
    }
}
