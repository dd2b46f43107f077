//! TopK latents: one dense product, the encoder's; all else touches only the `k` latents of each activation.
//!
//! An activation's latents are a bag of decoder rows, so libtorch's embedding bags are the sparse products: bags of latents for the
//! reconstruction, and, the same pairs sorted by latent, bags of activations for the gradients of the weights.

use super::{Asked, Outcome, ghost::Ghost, residual};
use crate::autoencoder::{parameters::Parameters, workspace::Workspace};
use tch::{Device, Kind, TchError, Tensor};

/// libtorch's number for bags that are summed, and for "no padding index".
const SUM: i64 = 0;
const NO_PADDING: i64 = -1;

/// What never changes about the bags of a batch.
#[derive(Debug)]
pub(super) struct Bags {
    k: i64,
    /// [b]: where each activation's bag begins.
    starts: Tensor,
    /// [b·k]: whose bag each pair is in.
    owners: Tensor,
    /// [n]: 0, 1, 2, …
    latents: Tensor,
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
            latents: Tensor::f_arange(n, options)?,
        })
    }
}

/// `into[i] = Σ_j weights[j] · rows[members[j]]` over the members of bag i.
fn weighted_bags(
    rows: &Tensor,
    members: &Tensor,
    starts: &Tensor,
    weights: &Tensor,
) -> Result<Tensor, TchError> {
    let (bags, ..) = Tensor::f_embedding_bag(
        rows,
        members,
        starts,
        false,
        SUM,
        false,
        Some(weights),
        false,
    )?;
    Ok(bags)
}

pub(super) fn compute(
    w: &mut Workspace,
    bags: &Bags,
    parameters: &Parameters,
    gradients: &mut Parameters,
    asked: Asked,
    ghost: &mut Option<Ghost>,
) -> Result<Outcome, TchError> {
    let (values, members) = w.latents.f_topk(bags.k, 1, true, false)?;
    let values = values.f_relu()?.f_to_kind(Kind::Float)?.f_view([-1])?;
    let members = members.f_view([-1])?;

    let product = weighted_bags(&parameters.decoder, &members, &bags.starts, &values)?;
    let reconstruction = residual(w, &product)?;
    if let Some(dead) = asked.dead {
        *ghost = Ghost::of(dead, w, parameters)?;
    }
    let b = w.residual.size2()?.0;
    let _ = w.residual.f_mul_scalar_(2.0 / b as f64)?;

    // ∂pre of each pair = ∂x̂ · W_dec,i where its value is above 0
    let through = Tensor::f_internal_embedding_bag_per_sample_weights_backward(
        &w.residual,
        &parameters.decoder,
        &members,
        &bags.starts,
        &bags.owners,
        SUM,
        NO_PADDING,
    )?;
    let pair_gradient = values.f_threshold_backward(&through, 0.0)?;

    // Sorted by latent (stably, so that sums have one order), each latent's pairs are a bag of activations.
    let (sorted, order) = members.f_sort_stable(true, 0, false)?;
    let owners = bags.owners.f_index_select(0, &order)?;
    let starts = bags
        .latents
        .f_searchsorted(&sorted, false, false, "left", None::<Tensor>)?;
    let sorted_values = values.f_index_select(0, &order)?;
    let sorted_gradient = pair_gradient.f_index_select(0, &order)?;
    gradients.decoder.f_copy_(&weighted_bags(
        &w.residual,
        &owners,
        &starts,
        &sorted_values,
    )?)?;
    gradients.encoder.f_copy_(&weighted_bags(
        &w.centred,
        &owners,
        &starts,
        &sorted_gradient,
    )?)?;
    let n = bags.latents.size1()?;
    let per_latent = |of: &Tensor| {
        Tensor::f_zeros([n], (Kind::Float, of.device()))?.f_index_add_(0, &sorted, of)
    };
    gradients
        .encoder_bias
        .f_copy_(&per_latent(&sorted_gradient)?)?;

    Ok(Outcome {
        reconstruction,
        sparsity: 0.0,
        ghost: 0.0,
        fired: per_latent(&sorted_values)?.f_gt(0.0)?,
        active: if asked.count_active {
            Some(values.f_count_nonzero(None::<i64>)?.f_int64_value(&[])?)
        } else {
            None
        },
    })
}
