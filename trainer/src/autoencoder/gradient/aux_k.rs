//! AuxK (Gao et al. 2024, arXiv:2406.04093, appendix A.2): the dead latents that come nearest to firing reconstruct the residual.
//!
//! With r = y − ŷ, a constant to the gradient, and the pre-activations h of dead latents D: z keeps of each activation the k_aux largest of
//! h[:, D] as they are (below 0 too), ê = z·W_dec[D] without a bias, and `coefficient · min(|D| / k_aux, 1) · mean_b Σ_d (ê − r)²` is added
//! to the loss, where k_aux in the scale is what was asked for and in z at most |D|. This is SAELens's form; the paper divides by the
//! variance of r instead.

use super::AuxK;
use super::dead::{DeadGradient, of_dead};
use crate::autoencoder::{parameters::Parameters, workspace::Workspace};
use tch::{Kind, TchError, Tensor};

/// Of the latents in `dead` (i64 [D], at least one), once the workspace holds the unscaled residual.
pub(super) fn gradient(
    dead: &Tensor,
    aux_k: AuxK,
    workspace: &Workspace,
    parameters: &Parameters,
) -> Result<DeadGradient, TchError> {
    let count = dead.numel() as i64;
    let scale = aux_k.coefficient * (count as f64 / aux_k.k.max(1) as f64).min(1.0);
    let (pre, decoder) = of_dead(dead, workspace, parameters)?;
    let (values, members) = pre.f_topk(aux_k.k.clamp(1, count), 1, true, false)?;
    let latents = pre.f_zeros_like()?.f_scatter_(1, &members, &values)?;
    let difference = latents.f_mm(&decoder)?.f_add(&workspace.residual)?;
    let b = workspace.batch()? as f64;
    let loss = scale
        * difference
            .f_square()?
            .f_sum(Kind::Double)?
            .f_double_value(&[])?
        / b;
    let gradient = difference.f_mul_scalar(2.0 * scale / b)?;
    let through = gradient.f_mm(&decoder.f_tr()?)?;
    let chosen = through.f_gather(1, &members, false)?;
    Ok(DeadGradient {
        loss,
        decoder_gradient: latents.f_tr()?.f_mm(&gradient)?,
        latent_gradient: through.f_zeros_like()?.f_scatter_(1, &members, &chosen)?,
        dead: dead.shallow_clone(),
    })
}
