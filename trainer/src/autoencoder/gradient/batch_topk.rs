//! BatchTopK latents: the `k` × b largest of a batch, so that an activation may have more of them where another has fewer.

use super::pairs::Pairs;
use super::{Latents, Pass, topk};
use tch::{Kind, TchError, Tensor};

/// The cut moves little from batch to batch, so only pre-activations above this part of where it has been are sorted out. Too low costs
/// time, too high a second look; neither changes what is found.
const NEAR: f64 = 0.7;

pub(super) fn compute(pass: &mut Pass, k: i64) -> Result<Latents, TchError> {
    pass.w.encode(pass.parameters)?;
    let pre = &pass.w.latents;
    let size = pre.size2()?;
    let wanted = (k * size.0).min(pre.numel() as i64);
    let (flat, values) = largest(&pre.f_view([-1])?, wanted, pass.asked.usual_cut)?;
    let values = values.f_relu()?.f_to_kind(Kind::Float)?;
    let positive = values.f_masked_select(&values.f_gt(0.0)?)?;
    let cut = if positive.numel() == 0 {
        None
    } else {
        Some(positive.f_min()?.f_double_value(&[])?)
    };
    let latents = topk::of_pairs(pass, &Pairs::at(&flat, size)?, &values)?;
    Ok(Latents { cut, ..latents })
}

/// The positions of the `wanted` largest of `pre` in ascending order, and their values.
fn largest(
    pre: &Tensor,
    wanted: i64,
    usual_cut: Option<f64>,
) -> Result<(Tensor, Tensor), TchError> {
    if let Some(cut) = usual_cut.filter(|cut| *cut > 0.0) {
        let near = pre.f_gt(cut * NEAR)?.f_nonzero()?.f_view([-1])?;
        if near.numel() as i64 >= wanted {
            let values = pre.f_index_select(0, &near)?;
            let (_, chosen) = values.f_topk(wanted, 0, true, false)?;
            return in_order(pre, &near.f_index_select(0, &chosen)?);
        }
    }
    let (_, chosen) = pre.f_topk(wanted, 0, true, false)?;
    in_order(pre, &chosen)
}

fn in_order(pre: &Tensor, positions: &Tensor) -> Result<(Tensor, Tensor), TchError> {
    let (positions, _) = positions.f_sort(0, false)?;
    let values = pre.f_index_select(0, &positions)?;
    Ok((positions, values))
}
