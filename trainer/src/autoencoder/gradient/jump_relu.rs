//! JumpReLU latents, `f_i = h_i · H(h_i − θ_i)` of pre-activations h, with the loss `λ · mean_b Σ_i H(h_i − θ_i)` (H: 1 above 0, else 0).
//!
//! The thresholds θ have no gradient of their own, so theirs are the straight-through estimators of Rajamanoharan et al. 2024
//! (arXiv:2407.14435) with the rectangle kernel K(u) = 1 for |u| < ½, else 0, and bandwidth ε:
//! ∂f_i/∂θ_i = −θ_i/ε · K((h_i − θ_i)/ε) and ∂H/∂θ_i = −1/ε · K((h_i − θ_i)/ε). Pre-activations get the gradient of f alone
//! (∂f_i/∂h_i = H(h_i − θ_i)) and none of the L0 loss, as in the paper. θ itself is trained, not its logarithm, and kept at 0 or above after
//! each step: Adam moves a logarithm far too slowly from a small threshold. Both choices are SAELens's too.

use super::dense::{count_over_batch, over_batch, reconstruct};
use super::pairs::{Pairs, pays};
use super::{Latents, Pass};
use tch::{Kind, TchError, Tensor};

pub(super) fn compute(pass: &mut Pass) -> Result<Latents, TchError> {
    pass.w.encode(pass.parameters)?;
    let Some(threshold) = &pass.parameters.threshold else {
        return Err(TchError::Shape("JumpReLU without thresholds".into()));
    };
    let operand = threshold.f_to_kind(pass.w.kind)?;
    let half = pass.asked.bandwidth / 2.0;
    // Latents that are active or near enough to their threshold to move it.
    let concerned = |pre: &Tensor| {
        let distance = pre.f_sub(&operand)?;
        distance.f_gt(-half)
    };
    if pays(pass.asked.arithmetic, &pass.w.latents, concerned)? {
        sparse(pass, threshold, &operand)
    } else {
        dense(pass, threshold, &operand)
    }
}

fn dense(pass: &mut Pass, threshold: &Tensor, operand: &Tensor) -> Result<Latents, TchError> {
    let (weight, bandwidth) = (pass.weight()?, pass.asked.bandwidth);
    // The gradient's room holds the distance to the threshold meanwhile.
    let distance = pass.w.latent_gradient.shallow_clone();
    let _ = pass.w.latents.f_sub_out(&distance, operand)?;
    let active = distance.f_gt(0.0)?;
    let near = distance.f_abs_out(&distance)?.f_lt(bandwidth / 2.0)?;
    let _ = pass.w.latents.f_mul_(&active)?;
    let residual = reconstruct(pass)?;
    let w = &mut *pass.w;
    let _ = residual.f_mm_out(&w.latent_gradient, &w.decoder().f_tr()?)?;

    let g = &mut *pass.gradients;
    let through = over_batch(&w.latent_gradient.f_mul(&near)?)?;
    let near = count_over_batch(&near)?.f_to_kind(Kind::Float)?;
    set_threshold_gradient(
        &mut g.threshold,
        threshold,
        &through,
        &near,
        weight,
        bandwidth,
    )?;

    let _ = w.latent_gradient.f_mul_(&active)?;
    w.decoder_gradient(&mut g.decoder, &w.latents, &residual)?;
    w.encoder_gradient(&mut g.encoder, &w.latent_gradient)?;
    g.encoder_bias.f_copy_(&over_batch(&w.latent_gradient)?)?;
    of_firings(weight, count_over_batch(&active)?)
}

fn sparse(pass: &mut Pass, threshold: &Tensor, operand: &Tensor) -> Result<Latents, TchError> {
    let (weight, bandwidth) = (pass.weight()?, pass.asked.bandwidth);
    let distance = pass.w.latents.f_sub(operand)?;
    let (pairs, flat) = Pairs::of(&distance.f_gt(-bandwidth / 2.0)?)?;
    let at = |of: &Tensor| of.f_view([-1])?.f_index_select(0, &flat);
    let distance = at(&distance)?;
    let active = distance.f_gt(0.0)?.f_to_kind(Kind::Float)?;
    let near = distance
        .f_abs()?
        .f_lt(bandwidth / 2.0)?
        .f_to_kind(Kind::Float)?;
    let values = at(&pass.w.latents)?
        .f_to_kind(Kind::Float)?
        .f_mul(&active)?;
    let decoder = &pass.parameters.decoder;
    let product = pairs.decode(&values, decoder)?;
    pass.reconstructed(&product)?;
    let through = pairs.through(&pass.w.residual, decoder)?;

    let by_latent = pairs.by_latent(pass.parameters.shape.d_sae)?;
    let g = &mut *pass.gradients;
    let of_near = by_latent.sums(&by_latent.sort(&through.f_mul(&near)?)?)?;
    let near = by_latent.sums(&by_latent.sort(&near)?)?;
    set_threshold_gradient(
        &mut g.threshold,
        threshold,
        &of_near,
        &near,
        weight,
        bandwidth,
    )?;

    let values = by_latent.sort(&values)?;
    let gradient = by_latent.sort(&through.f_mul(&active)?)?;
    g.decoder
        .f_copy_(&by_latent.weight_gradient(&values, &pass.w.residual)?)?;
    g.encoder
        .f_copy_(&by_latent.weight_gradient(&gradient, &pass.w.centred)?)?;
    g.encoder_bias.f_copy_(&by_latent.sums(&gradient)?)?;
    of_firings(weight, by_latent.firings(&values)?)
}

/// `∂θ_i = −θ_i/ε Σ_b K ∂f_i − λ/(bε) Σ_b K`, of `through` = Σ_b K ∂f_i and `near` = Σ_b K (f32 [n]).
fn set_threshold_gradient(
    into: &mut Option<Tensor>,
    threshold: &Tensor,
    through: &Tensor,
    near: &Tensor,
    weight: f64,
    bandwidth: f64,
) -> Result<(), TchError> {
    if let Some(into) = into {
        let sum = near
            .f_mul_scalar(weight)?
            .f_addcmul(threshold, through)?
            .f_mul_scalar(-1.0 / bandwidth)?;
        into.f_copy_(&sum)?;
    }
    Ok(())
}

fn of_firings(weight: f64, firings: Tensor) -> Result<Latents, TchError> {
    let active = firings.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    Ok(Latents {
        sparsity: weight * active as f64,
        fired: firings.f_gt(0)?,
        firings: Some(firings),
        cut: None,
    })
}
