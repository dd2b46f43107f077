//! Ghost gradients (Jermyn and Templeton 2024): dead latents, through an exponential instead of their ReLU, learn to predict the residual.
//!
//! With r = x − x̂ and the pre-activations h of dead latents D: g = exp(h)·W_dec[D], scaled in each row by ‖r‖ / (1e-6 + 2‖g‖);
//! ℓ = (g − r)², scaled in each element by (x̂ − x)² / (ℓ + 1e-6); the mean over batch and width is added to the loss. Both scales and r are
//! constants to the gradient.

use crate::autoencoder::{parameters::Parameters, workspace::Workspace};
use tch::{Kind, TchError, Tensor};

const EPSILON: f64 = 1e-6;

/// The ghost loss of a batch and its gradient for the dead latents.
#[derive(Debug)]
pub(super) struct Ghost {
    pub loss: f64,
    /// i64 [D]: which latents.
    dead: Tensor,
    /// f32 [b, D]: gradient of their pre-activations.
    latent_gradient: Tensor,
    /// f32 [D, d].
    decoder_gradient: Tensor,
}

impl Ghost {
    /// Of the latents in `dead` (bool [n]), once the workspace holds the unscaled residual; none when no latent is dead.
    pub(super) fn of(
        dead: &Tensor,
        workspace: &Workspace,
        parameters: &Parameters,
    ) -> Result<Option<Self>, TchError> {
        let dead = dead.f_nonzero()?.f_view([-1])?;
        if dead.numel() == 0 {
            return Ok(None);
        }
        let encoder = parameters.encoder.f_index_select(0, &dead)?;
        let decoder = parameters.decoder.f_index_select(0, &dead)?;
        let bias = parameters.encoder_bias.f_index_select(0, &dead)?;
        let latents = bias
            .f_addmm(&workspace.centred, &encoder.f_tr()?)?
            .f_exp()?;

        let error = &workspace.residual; // x̂ − x = −r
        let norms = |of: &Tensor| of.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true);
        let unscaled = latents.f_mm(&decoder)?;
        let row_scale =
            norms(error)?.f_div(&norms(&unscaled)?.f_mul_scalar(2.0)?.f_add_scalar(EPSILON)?)?;
        let difference = unscaled.f_mul(&row_scale)?.f_add(error)?;
        let squares = difference.f_square()?;
        let element_scale = error.f_square()?.f_div(&squares.f_add_scalar(EPSILON)?)?;
        let elements = error.numel() as f64;
        let loss = squares
            .f_mul(&element_scale)?
            .f_sum(Kind::Double)?
            .f_double_value(&[])?
            / elements;

        let gradient = difference
            .f_mul(&element_scale)?
            .f_mul(&row_scale)?
            .f_mul_scalar(2.0 / elements)?;
        Ok(Some(Self {
            loss,
            decoder_gradient: latents.f_tr()?.f_mm(&gradient)?,
            latent_gradient: gradient.f_mm(&decoder.f_tr()?)?.f_mul(&latents)?,
            dead,
        }))
    }

    /// Adds to the gradients of the encoder, its bias and the decoder.
    pub(super) fn add_to(
        &self,
        gradients: &mut Parameters,
        centred: &Tensor,
    ) -> Result<(), TchError> {
        let encoder = self.latent_gradient.f_tr()?.f_mm(centred)?;
        let bias = self
            .latent_gradient
            .f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float)?;
        for (into, of) in [
            (&mut gradients.encoder, &encoder),
            (&mut gradients.encoder_bias, &bias),
            (&mut gradients.decoder, &self.decoder_gradient),
        ] {
            let _ = into.f_index_add_(0, &self.dead, of)?;
        }
        Ok(())
    }
}
