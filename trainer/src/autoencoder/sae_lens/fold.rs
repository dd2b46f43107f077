//! What SAELens does to activations beside the weights, folded into them.

use super::{Autoencoder, LatentFunction};
use tch::{Kind, TchError, Tensor};

/// The smallest norm that SAELens divides by.
const SMALLEST_NORM: f64 = 1e-8;

impl Autoencoder {
    /// `rescale_acts_by_decoder_norm`: pre-activations are chosen, and latents given, times their decoder row's norm. Afterwards that norm is
    /// 1 and in the encoder.
    pub(super) fn fold_decoder_norm(&mut self) -> Result<(), TchError> {
        let norms = self
            .w_dec
            .f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)?
            .f_clamp_min(SMALLEST_NORM)?;
        self.w_enc = self.w_enc.f_mul(&norms)?;
        self.b_enc = self.b_enc.f_mul(&norms)?;
        self.w_dec = self.w_dec.f_div(&norms.f_unsqueeze(1)?)?;
        Ok(())
    }

    /// `expected_average_only_in`: it was trained on `scale · x`.
    pub(super) fn fold_scale(&mut self, scale: f64) -> Result<(), TchError> {
        self.w_enc = self.w_enc.f_mul_scalar(scale)?;
        self.w_dec = self.w_dec.f_div_scalar(scale)?;
        self.b_dec = self.b_dec.f_div_scalar(scale)?;
        Ok(())
    }

    /// Thresholds of latents that are given in the decoder's norms, when these become `factor` times what they were.
    pub(super) fn rescale_threshold(&mut self, factor: f64) -> Result<(), TchError> {
        if let LatentFunction::JumpRelu(threshold) = &mut self.function {
            *threshold = threshold.f_mul_scalar(factor)?;
        }
        Ok(())
    }

    /// `covariance_whitening`: it was trained on z = (x − mean)·matrix, and x̂ = ẑ·inverse + mean ([d], [d, d], [d, d]). In f64.
    pub(super) fn fold_whitening(
        &mut self,
        mean: &Tensor,
        matrix: &Tensor,
        inverse: &Tensor,
    ) -> Result<(), TchError> {
        let wide = |of: &Tensor| of.f_to_kind(Kind::Double);
        let narrow = |of: Tensor| of.f_to_kind(Kind::Float);
        let (mean, inverse) = (wide(mean)?, wide(inverse)?);
        let w_enc = wide(matrix)?.f_mm(&wide(&self.w_enc)?)?;
        if !self.centres_input {
            let shift = w_enc.f_tr()?.f_mv(&mean)?;
            self.b_enc = narrow(wide(&self.b_enc)?.f_sub(&shift)?)?;
            if let LatentFunction::Gated(magnitude) = &mut self.function {
                let shift = shift.f_mul(&wide(&magnitude.log_scale)?.f_exp()?)?;
                magnitude.bias = narrow(wide(&magnitude.bias)?.f_sub(&shift)?)?;
            }
        }
        self.w_enc = narrow(w_enc)?;
        self.w_dec = narrow(wide(&self.w_dec)?.f_mm(&inverse)?)?;
        let b_dec = inverse.f_tr()?.f_mv(&wide(&self.b_dec)?)?;
        self.b_dec = narrow(b_dec.f_add(&mean)?)?;
        Ok(())
    }
}
