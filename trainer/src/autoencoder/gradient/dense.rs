//! What dense latents have in common.

use super::Pass;
use tch::{Kind, TchError, Tensor};

/// f32 [n]: the sum of [b, n] over the batch.
pub(super) fn over_batch(of: &Tensor) -> Result<Tensor, TchError> {
    of.f_sum_dim_intlist([0i64].as_slice(), false, of.kind())?
        .f_to_kind(Kind::Float)
}

/// i64 [n]: how many of bool [b, n] are true.
pub(super) fn count_over_batch(mask: &Tensor) -> Result<Tensor, TchError> {
    mask.f_sum_dim_intlist([0i64].as_slice(), false, Kind::Int64)
}

/// `latents·W_dec` taken up as the reconstruction; returned is its loss's gradient as an operand.
pub(super) fn reconstruct(pass: &mut Pass) -> Result<Tensor, TchError> {
    let product = pass.w.product.shallow_clone();
    let _ = pass.w.latents.f_mm_out(&product, pass.w.decoder())?;
    pass.reconstructed(&product)?;
    pass.w.residual_operand()
}

/// What the L1 loss `weight · Σ_b Σ_i f_i ‖W_dec,i‖₂` adds to the decoder's gradient: `weight · Σ_b f_i · W_dec,i / ‖W_dec,i‖`. `sums` is
/// f32 [n], Σ_b f_i, and `norms` f32 [n]. Returns the loss.
pub(super) fn l1(
    pass: &mut Pass,
    weight: f64,
    sums: &Tensor,
    norms: &Tensor,
) -> Result<f64, TchError> {
    if weight == 0.0 {
        return Ok(0.0);
    }
    let per_row = sums
        .f_div(&norms.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)?
        .f_mul_scalar(weight)?
        .f_unsqueeze(1)?;
    let _ = pass
        .gradients
        .decoder
        .f_addcmul_(&pass.parameters.decoder, &per_row)?;
    let loss = sums.f_mul(norms)?.f_sum(Kind::Double)?;
    Ok(weight * loss.f_double_value(&[])?)
}
