//! Gated latents (Rajamanoharan et al. 2024, arXiv:2404.16014): with h = x·W_enc, a gate π = h + b_gate decides what is active and a magnitude
//! m = exp(r_mag)·h + b_mag how much: f = H(π)·ReLU(m).
//!
//! A gate has no gradient of its own, so beside the reconstruction loss there are, of a = ReLU(π), the L1 loss
//! `λ · mean_b Σ_i a_i ‖W_dec,i‖₂` and the auxiliary loss `mean_b Σ_d (a·W_dec + b_dec − y)²` (with the skip connection where there is one). As in
//! SAELens, the decoder learns from both; the paper keeps it constant in them.

use super::dense::{count_over_batch, l1, over_batch, reconstruct};
use super::pairs::{Pairs, pays};
use super::{Latents, Pass, mean_square, row_norms};
use tch::{Kind, TchError, Tensor};

pub(super) fn compute(pass: &mut Pass) -> Result<Latents, TchError> {
    pass.w.encode(pass.parameters)?;
    if pays(pass.asked.arithmetic, &pass.w.latents, |pre| pre.f_gt(0.0))? {
        sparse(pass)
    } else {
        dense(pass)
    }
}

/// `exp(r_mag)`, and what takes a gate's pre-activation to its magnitude's: m = exp(r_mag)·π + (b_mag − exp(r_mag)·b_gate). f32 [n] each.
fn magnitude(pass: &Pass) -> Result<(Tensor, Tensor), TchError> {
    let Some(magnitude) = &pass.parameters.magnitude else {
        return Err(TchError::Shape("gates without magnitudes".into()));
    };
    let scale = magnitude.log_scale.f_exp()?;
    let shift = magnitude
        .bias
        .f_sub(&scale.f_mul(&pass.parameters.encoder_bias)?)?;
    Ok((scale, shift))
}

fn dense(pass: &mut Pass) -> Result<Latents, TchError> {
    let weight = pass.weight()?;
    let (scale, shift) = magnitude(pass)?;
    let kind = pass.w.kind;
    let (scale_operand, shift) = (scale.f_to_kind(kind)?, shift.f_to_kind(kind)?);
    let gate = pass.w.latents.f_relu()?;
    let open = gate.f_gt(0.0)?;
    let _ = pass.w.latents.f_mul_(&scale_operand)?;
    let _ = pass.w.latents.f_add_(&shift)?;
    let _ = pass.w.latents.f_relu_()?;
    let _ = pass.w.latents.f_mul_(&open)?;

    // The auxiliary path first: the product's room is shared.
    let auxiliary = gate.f_mm(pass.w.decoder())?.f_sub(&pass.w.aim)?;
    let auxiliary_loss = mean_square(&row_norms(&auxiliary)?)?;
    let auxiliary = auxiliary.f_mul_scalar(2.0 / pass.w.batch()? as f64)?;
    let auxiliary_operand = auxiliary.f_to_kind(kind)?;
    let residual = reconstruct(pass)?;
    let w = &mut *pass.w;
    let decoder = w.decoder().f_tr()?;

    // ∂π = (∂ŷ_gate·W_decᵀ + λ/b ‖W_dec,i‖) where π > 0;  ∂m = ∂ŷ·W_decᵀ where f > 0
    let sums = over_batch(&gate)?;
    let norms = row_norms(&pass.parameters.decoder)?;
    let mut of_gate = auxiliary_operand.f_mm(&decoder)?;
    if weight != 0.0 {
        let _ = of_gate.f_add_(&norms.f_mul_scalar(weight)?.f_to_kind(kind)?)?;
    }
    let _ = of_gate.f_mul_(&open)?;
    let _ = residual.f_mm_out(&w.latent_gradient, &decoder)?;
    let _ =
        w.latents
            .f_threshold_backward_grad_input(&w.latent_gradient, &w.latent_gradient, 0.0)?;

    let g = &mut *pass.gradients;
    g.encoder_bias.f_copy_(&over_batch(&of_gate)?)?;
    // ∂W_dec = fᵀ·∂ŷ + aᵀ·∂ŷ_gate + the L1 loss's
    w.decoder_gradient(&mut g.decoder, &w.latents, &residual)?;
    let of_decoder = gate.f_tr()?.f_mm(&auxiliary_operand)?;
    let _ = g.decoder.f_add_(&of_decoder)?;
    let firings = count_over_batch(&w.latents.f_gt(0.0)?)?;
    // Where the gradient is not 0, f = m; and exp(r_mag)·h = m − b_mag.
    let products = over_batch(&w.latents.f_mul_(&w.latent_gradient)?)?;
    let of_bias = over_batch(&w.latent_gradient)?;
    set_magnitude_gradient(pass, &products, &of_bias)?;
    // ∂h = ∂π + exp(r_mag)·∂m
    let w = &mut *pass.w;
    let _ = w.latent_gradient.f_mul_(&scale_operand)?;
    let _ = w.latent_gradient.f_add_(&of_gate)?;
    w.encoder_gradient(&mut pass.gradients.encoder, &w.latent_gradient)?;
    finish(
        pass,
        weight,
        auxiliary_loss,
        &auxiliary,
        &sums,
        &norms,
        firings,
    )
}

fn sparse(pass: &mut Pass) -> Result<Latents, TchError> {
    let weight = pass.weight()?;
    let (scale, shift) = magnitude(pass)?;
    let (pairs, flat) = Pairs::of(&pass.w.latents.f_gt(0.0)?)?;
    let gate = pass
        .w
        .latents
        .f_view([-1])?
        .f_index_select(0, &flat)?
        .f_to_kind(Kind::Float)?;
    let of_pairs = |of: &Tensor| of.f_index_select(0, &pairs.latents);
    let scale = of_pairs(&scale)?;
    let values = of_pairs(&shift)?.f_addcmul(&scale, &gate)?.f_relu()?;
    let decoder = &pass.parameters.decoder;

    let auxiliary = pairs.decode(&gate, decoder)?.f_sub(&pass.w.aim)?;
    let auxiliary_loss = mean_square(&row_norms(&auxiliary)?)?;
    let auxiliary = auxiliary.f_mul_scalar(2.0 / pass.w.batch()? as f64)?;
    let product = pairs.decode(&values, decoder)?;
    pass.reconstructed(&product)?;

    let norms = row_norms(decoder)?;
    let of_gate = pairs
        .through(&auxiliary, decoder)?
        .f_add(&of_pairs(&norms)?.f_mul_scalar(weight)?)?;
    let through = pairs.through(&pass.w.residual, decoder)?;
    let of_magnitude = values.f_threshold_backward(&through, 0.0)?;

    let by_latent = pairs.by_latent(pass.parameters.shape.d_sae)?;
    let sorted_gate = by_latent.sort(&gate)?;
    let sorted_values = by_latent.sort(&values)?;
    let sums = by_latent.sums(&sorted_gate)?;
    let g = &mut *pass.gradients;
    g.encoder_bias
        .f_copy_(&by_latent.sums(&by_latent.sort(&of_gate)?)?)?;
    g.decoder
        .f_copy_(&by_latent.weight_gradient(&sorted_values, &pass.w.residual)?)?;
    let _ = g
        .decoder
        .f_add_(&by_latent.weight_gradient(&sorted_gate, &auxiliary)?)?;
    let of_input = of_gate.f_addcmul(&scale, &of_magnitude)?;
    g.encoder
        .f_copy_(&by_latent.weight_gradient(&by_latent.sort(&of_input)?, &pass.w.centred)?)?;
    let products = by_latent.sums(&by_latent.sort(&values.f_mul(&of_magnitude)?)?)?;
    let of_bias = by_latent.sums(&by_latent.sort(&of_magnitude)?)?;
    set_magnitude_gradient(pass, &products, &of_bias)?;
    let firings = by_latent.firings(&sorted_values)?;
    finish(
        pass,
        weight,
        auxiliary_loss,
        &auxiliary,
        &sums,
        &norms,
        firings,
    )
}

/// `∂r_mag = Σ_b ∂m · exp(r_mag)·h = Σ_b ∂m·m − b_mag Σ_b ∂m` and `∂b_mag = Σ_b ∂m`, of Σ_b ∂m·m and Σ_b ∂m (f32 [n]).
fn set_magnitude_gradient(
    pass: &mut Pass,
    products: &Tensor,
    of_bias: &Tensor,
) -> Result<(), TchError> {
    if let (Some(into), Some(magnitude)) =
        (&mut pass.gradients.magnitude, &pass.parameters.magnitude)
    {
        into.log_scale
            .f_copy_(&products.f_sub(&magnitude.bias.f_mul(of_bias)?)?)?;
        into.bias.f_copy_(of_bias)?;
    }
    Ok(())
}

/// What both ways end with. The decoder's bias and the skip connection learn from both reconstructions: their gradients are added up.
fn finish(
    pass: &mut Pass,
    weight: f64,
    auxiliary_loss: f64,
    auxiliary: &Tensor,
    sums: &Tensor,
    norms: &Tensor,
    firings: Tensor,
) -> Result<Latents, TchError> {
    let _ = pass.w.residual.f_add_(auxiliary)?;
    Ok(Latents {
        sparsity: l1(pass, weight, sums, norms)? + auxiliary_loss,
        fired: firings.f_gt(0)?,
        firings: Some(firings),
        cut: None,
    })
}
