//! TopK latents: one dense product, the encoder's; all else touches only the `k` latents of each activation.

use super::pairs::Pairs;
use super::{Latents, Pass};
use tch::{Device, Kind, TchError, Tensor};

/// What never changes about the pairs of a batch.
#[derive(Debug)]
pub(super) struct Bags {
    k: i64,
    starts: Tensor,
    owners: Tensor,
}

impl Bags {
    pub(super) fn new(b: i64, k: i64, n: i64, device: Device) -> Result<Self, TchError> {
        let options = (Kind::Int64, device);
        let k = k.min(n);
        Ok(Self {
            k,
            starts: Tensor::f_arange_start_step(0, b * k, k, options)?,
            owners: Tensor::f_arange(b, options)?.f_repeat_interleave_self_int(
                k,
                0,
                None::<i64>,
            )?,
        })
    }
}

pub(super) fn compute(pass: &mut Pass, bags: &Bags) -> Result<Latents, TchError> {
    pass.w.encode(pass.parameters)?;
    let (values, members) = pass.w.latents.f_topk(bags.k, 1, true, false)?;
    let values = values.f_relu()?.f_to_kind(Kind::Float)?.f_view([-1])?;
    let pairs = Pairs {
        latents: members.f_view([-1])?,
        owners: bags.owners.shallow_clone(),
        starts: bags.starts.shallow_clone(),
    };
    of_pairs(pass, &pairs, &values)
}

/// The gradient where `values` (f32 [m]) of `pairs` are all latents that can be above 0, and nothing else makes them sparse.
pub(super) fn of_pairs(
    pass: &mut Pass,
    pairs: &Pairs,
    values: &Tensor,
) -> Result<Latents, TchError> {
    let decoder = &pass.parameters.decoder;
    let product = pairs.decode(values, decoder)?;
    pass.reconstructed(&product)?;

    // ∂pre of each pair = ∂ŷ · W_dec,i where its value is above 0
    let through = pairs.through(&pass.w.residual, decoder)?;
    let gradient = values.f_threshold_backward(&through, 0.0)?;

    let by_latent = pairs.by_latent(pass.parameters.shape.d_sae)?;
    let values = by_latent.sort(values)?;
    let gradient = by_latent.sort(&gradient)?;
    let g = &mut *pass.gradients;
    g.decoder
        .f_copy_(&by_latent.weight_gradient(&values, &pass.w.residual)?)?;
    g.encoder
        .f_copy_(&by_latent.weight_gradient(&gradient, &pass.w.centred)?)?;
    g.encoder_bias.f_copy_(&by_latent.sums(&gradient)?)?;

    let firings = by_latent.firings(&values)?;
    Ok(Latents {
        sparsity: 0.0,
        fired: firings.f_gt(0)?,
        firings: Some(firings),
        cut: None,
    })
}
