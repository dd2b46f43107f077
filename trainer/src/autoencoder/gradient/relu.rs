//! ReLU latents with an L1 loss weighted by the decoder's norms: five dense products.

use super::{Asked, Outcome, ghost::Ghost, residual};
use crate::autoencoder::{parameters::Parameters, workspace::Workspace};
use tch::{Kind, TchError, Tensor};

pub(super) fn compute(
    w: &mut Workspace,
    parameters: &Parameters,
    gradients: &mut Parameters,
    asked: Asked,
    ghost: &mut Option<Ghost>,
) -> Result<Outcome, TchError> {
    let b = w.residual.size2()?.0 as f64;
    let weight = asked.sparsity_coefficient / b;
    let over_batch = |of: &Tensor| {
        of.f_sum_dim_intlist([0i64].as_slice(), false, of.kind())?
            .f_to_kind(Kind::Float)
    };

    let _ = w.latents.f_relu_()?;
    let product = w.product.shallow_clone();
    let _ = w.latents.f_mm_out(&product, w.decoder())?;
    let reconstruction = residual(w, &product)?;
    if let Some(dead) = asked.dead {
        *ghost = Ghost::of(dead, w, parameters)?;
    }
    let residual_gradient = w.scale_residual()?;

    // Σ_b f_i serves the L1 loss and its gradient, and says who fired (f ≥ 0).
    let sums = over_batch(&w.latents)?;
    let norms = parameters
        .decoder
        .f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)?;
    let sparsity = weight
        * sums
            .f_mul(&norms)?
            .f_sum(Kind::Double)?
            .f_double_value(&[])?;

    // ∂pre = ∂x̂·W_decᵀ + λ/b ‖W_dec,i‖ where f > 0, else 0
    let _ = residual_gradient.f_mm_out(&w.latent_gradient, &w.decoder().f_tr()?)?;
    if weight != 0.0 {
        let _ = w
            .latent_gradient
            .f_add_(&norms.f_mul_scalar(weight)?.f_to_kind(w.kind)?)?;
    }
    let _ =
        w.latents
            .f_threshold_backward_grad_input(&w.latent_gradient, &w.latent_gradient, 0.0)?;

    // ∂W_dec = fᵀ·∂x̂ + λ/b Σ_b f_i · W_dec,i / ‖W_dec,i‖
    w.weight_gradient(&mut gradients.decoder, &w.latents, &residual_gradient)?;
    if weight != 0.0 {
        let per_row = sums
            .f_div(&norms.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?
            .f_mul_scalar(weight)?
            .f_unsqueeze(1)?;
        let _ = gradients
            .decoder
            .f_addcmul_(&parameters.decoder, &per_row)?;
    }
    w.weight_gradient(&mut gradients.encoder, &w.latent_gradient, &w.input)?;
    gradients
        .encoder_bias
        .f_copy_(&over_batch(&w.latent_gradient)?)?;

    Ok(Outcome {
        reconstruction,
        sparsity,
        ghost: 0.0,
        fired: sums.f_gt(0.0)?,
        active: if asked.count_active {
            Some(w.latents.f_count_nonzero(None::<i64>)?.f_int64_value(&[])?)
        } else {
            None
        },
    })
}
