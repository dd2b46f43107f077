//! Ghost gradients (Jermyn and Templeton 2024): dead latents, through an exponential instead of their ReLU, learn to predict the residual.
//!
//! With r = y − ŷ and the pre-activations h of dead latents D: g = exp(h)·W_dec[D], scaled in each row by ‖r‖ / (1e-6 + 2‖g‖);
//! ℓ = (g − r)², scaled in each element by (ŷ − y)² / (ℓ + 1e-6); the mean over batch and width is added to the loss. Both scales and r are
//! constants to the gradient.

use super::dead::{DeadGradient, of_dead};
use crate::autoencoder::{parameters::Parameters, workspace::Workspace};
use tch::{Kind, TchError, Tensor};

const EPSILON: f64 = 1e-6;

/// Of the latents in `dead` (i64 [D]), once the workspace holds the unscaled residual.
pub(super) fn gradient(
    dead: &Tensor,
    workspace: &Workspace,
    parameters: &Parameters,
) -> Result<DeadGradient, TchError> {
    let (pre, decoder) = of_dead(dead, workspace, parameters)?;
    let latents = pre.f_exp()?;
    let error = &workspace.residual; // ŷ − y = −r
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
    Ok(DeadGradient {
        loss,
        decoder_gradient: latents.f_tr()?.f_mm(&gradient)?,
        latent_gradient: gradient.f_mm(&decoder.f_tr()?)?.f_mul(&latents)?,
        dead: dead.shallow_clone(),
    })
}
