//! ReLU latents with an L1 loss weighted by the decoder's norms: five dense products, or one where few latents are active.

use super::dense::{count_over_batch, l1, over_batch, reconstruct};
use super::pairs::{Pairs, pays};
use super::{Latents, Pass, row_norms};
use tch::{Kind, TchError};

pub(super) fn compute(pass: &mut Pass) -> Result<Latents, TchError> {
    pass.w.encode(pass.parameters)?;
    if pays(pass.asked.arithmetic, &pass.w.latents, |pre| pre.f_gt(0.0))? {
        sparse(pass)
    } else {
        dense(pass)
    }
}

fn dense(pass: &mut Pass) -> Result<Latents, TchError> {
    let weight = pass.weight()?;
    let _ = pass.w.latents.f_relu_()?;
    let residual = reconstruct(pass)?;
    let w = &mut *pass.w;

    // Σ_b f_i serves the L1 loss and its gradient, and says who fired (f ≥ 0).
    let sums = over_batch(&w.latents)?;
    let norms = row_norms(&pass.parameters.decoder)?;

    // ∂pre = ∂ŷ·W_decᵀ + λ/b ‖W_dec,i‖ where f > 0, else 0
    let _ = residual.f_mm_out(&w.latent_gradient, &w.decoder().f_tr()?)?;
    if weight != 0.0 {
        let _ = w
            .latent_gradient
            .f_add_(&norms.f_mul_scalar(weight)?.f_to_kind(w.kind)?)?;
    }
    let _ =
        w.latents
            .f_threshold_backward_grad_input(&w.latent_gradient, &w.latent_gradient, 0.0)?;

    // ∂W_dec = fᵀ·∂ŷ + λ/b Σ_b f_i · W_dec,i / ‖W_dec,i‖
    let g = &mut *pass.gradients;
    w.decoder_gradient(&mut g.decoder, &w.latents, &residual)?;
    w.encoder_gradient(&mut g.encoder, &w.latent_gradient)?;
    g.encoder_bias.f_copy_(&over_batch(&w.latent_gradient)?)?;
    let firings = if pass.asked.count {
        Some(count_over_batch(&w.latents.f_gt(0.0)?)?)
    } else {
        None
    };
    Ok(Latents {
        sparsity: l1(pass, weight, &sums, &norms)?,
        fired: sums.f_gt(0.0)?,
        firings,
        cut: None,
    })
}

fn sparse(pass: &mut Pass) -> Result<Latents, TchError> {
    let weight = pass.weight()?;
    let (pairs, flat) = Pairs::of(&pass.w.latents.f_gt(0.0)?)?;
    let values = pass
        .w
        .latents
        .f_view([-1])?
        .f_index_select(0, &flat)?
        .f_to_kind(Kind::Float)?;
    let decoder = &pass.parameters.decoder;
    let product = pairs.decode(&values, decoder)?;
    pass.reconstructed(&product)?;

    let norms = row_norms(decoder)?;
    let mut gradient = pairs.through(&pass.w.residual, decoder)?;
    if weight != 0.0 {
        let of_norms = norms.f_index_select(0, &pairs.latents)?;
        let _ = gradient.f_add_(&of_norms.f_mul_scalar(weight)?)?;
    }

    let by_latent = pairs.by_latent(pass.parameters.shape.d_sae)?;
    let values = by_latent.sort(&values)?;
    let gradient = by_latent.sort(&gradient)?;
    let g = &mut *pass.gradients;
    g.decoder
        .f_copy_(&by_latent.weight_gradient(&values, &pass.w.residual)?)?;
    g.encoder
        .f_copy_(&by_latent.weight_gradient(&gradient, &pass.w.centred)?)?;
    g.encoder_bias.f_copy_(&by_latent.sums(&gradient)?)?;
    let sums = by_latent.sums(&values)?;
    let firings = by_latent.firings(&values)?;
    Ok(Latents {
        sparsity: l1(pass, weight, &sums, &norms)?,
        fired: firings.f_gt(0)?,
        firings: Some(firings),
        cut: None,
    })
}
