//! Products that touch only active latents.
//!
//! An activation's latents are a bag of decoder rows, so libtorch's embedding bags are the sparse products: bags of latents for the
//! reconstruction, and, the same pairs sorted by latent, bags of activations for the gradients of the weights. They are in f32.

use super::Arithmetic;
use tch::{Kind, TchError, Tensor};

/// libtorch's number for bags that are summed, and for "no padding index".
const SUM: i64 = 0;
const NO_PADDING: i64 = -1;

/// Activations of a batch by which its density is judged: a batch is in random order, so its first rows are a sample.
const SAMPLE: i64 = 256;

/// The density below which touching active latents only is faster than dense products. A pair costs the same whatever the products'
/// precision, a dense product in bf16 about a third of one in f32. Measured with 4,608 latents of width 576 on two cores with AVX-512: in bf16
/// 1.4 times as fast at 2 % and 0.7 times at 4 %; in f32 2.4 times at 4 %, with the time of pairs growing a little slower than their number.
const WORTH_IT_F32: f64 = 0.06;
const WORTH_IT_BF16: f64 = 0.02;

/// Whether the latents that `active` (of a few rows of pre-activations) says are few enough. A function of the batch alone, so that a
/// training that goes on computes the same bits.
pub(super) fn pays(
    arithmetic: Arithmetic,
    pre: &Tensor,
    active: impl FnOnce(&Tensor) -> Result<Tensor, TchError>,
) -> Result<bool, TchError> {
    let worth_it = match arithmetic {
        Arithmetic::Dense => return Ok(false),
        Arithmetic::Sparse => return Ok(true),
        Arithmetic::Measured if pre.kind() == Kind::Float => WORTH_IT_F32,
        Arithmetic::Measured => WORTH_IT_BF16,
    };
    let rows = pre.size2()?.0.min(SAMPLE);
    let sample = active(&pre.f_narrow(0, 0, rows)?)?;
    let count = sample.f_sum(Kind::Int64)?.f_int64_value(&[])?;
    Ok((count as f64) < worth_it * sample.numel() as f64)
}

/// Which latents of which activations of a batch are computed with, activation by activation.
#[derive(Debug)]
pub(super) struct Pairs {
    /// i64 [m]: the latent of each pair.
    pub latents: Tensor,
    /// i64 [m]: its activation.
    pub owners: Tensor,
    /// i64 [b]: where each activation's pairs begin.
    pub starts: Tensor,
}

impl Pairs {
    /// Of the true elements of bool [b, n], and, for any [b, n], the positions of its pairs in a flat view.
    pub(super) fn of(mask: &Tensor) -> Result<(Self, Tensor), TchError> {
        let flat = mask.f_view([-1])?.f_nonzero()?.f_view([-1])?;
        Ok((Self::at(&flat, mask.size2()?)?, flat))
    }

    /// Of ascending positions (i64 [m]) in a flat view of [b, n].
    pub(super) fn at(flat: &Tensor, (b, n): (i64, i64)) -> Result<Self, TchError> {
        let owners = flat.f_div_scalar_mode(n, "floor")?;
        let latents = flat.f_sub(&owners.f_mul_scalar(n)?)?;
        let rows = Tensor::f_arange(b, (Kind::Int64, flat.device()))?;
        Ok(Self {
            starts: rows.f_searchsorted(&owners, false, false, "left", None::<Tensor>)?,
            latents,
            owners,
        })
    }

    /// [b, d]: `Σ values · rows[latent]` over each activation's pairs.
    pub(super) fn decode(&self, values: &Tensor, rows: &Tensor) -> Result<Tensor, TchError> {
        bags(rows, &self.latents, &self.starts, values)
    }

    /// [m]: `gradient[owner] · rows[latent]`, what a gradient of the reconstruction is for each pair's value.
    pub(super) fn through(&self, gradient: &Tensor, rows: &Tensor) -> Result<Tensor, TchError> {
        Tensor::f_internal_embedding_bag_per_sample_weights_backward(
            gradient,
            rows,
            &self.latents,
            &self.starts,
            &self.owners,
            SUM,
            NO_PADDING,
        )
    }

    /// The same pairs, latent by latent (stably, so that sums have one order).
    pub(super) fn by_latent(&self, n: i64) -> Result<ByLatent, TchError> {
        let (sorted, order) = self.latents.f_sort_stable(true, 0, false)?;
        let all = Tensor::f_arange(n, (Kind::Int64, sorted.device()))?;
        Ok(ByLatent {
            owners: self.owners.f_index_select(0, &order)?,
            starts: all.f_searchsorted(&sorted, false, false, "left", None::<Tensor>)?,
            sorted,
            order,
            n,
        })
    }
}

/// Pairs sorted by latent.
#[derive(Debug)]
pub(super) struct ByLatent {
    /// i64 [m]: where each was.
    order: Tensor,
    owners: Tensor,
    /// i64 [n]: where each latent's pairs begin.
    starts: Tensor,
    sorted: Tensor,
    n: i64,
}

impl ByLatent {
    /// Values of pairs (f32 [m]) in this order.
    pub(super) fn sort(&self, values: &Tensor) -> Result<Tensor, TchError> {
        values.f_index_select(0, &self.order)
    }

    /// [n, d]: `Σ values · rows[owner]` over each latent's pairs; `values` are sorted.
    pub(super) fn weight_gradient(
        &self,
        values: &Tensor,
        rows: &Tensor,
    ) -> Result<Tensor, TchError> {
        bags(rows, &self.owners, &self.starts, values)
    }

    /// [n]: the sum over each latent's pairs of sorted values.
    pub(super) fn sums(&self, values: &Tensor) -> Result<Tensor, TchError> {
        Tensor::f_zeros([self.n], (values.kind(), values.device()))?.f_index_add_(
            0,
            &self.sorted,
            values,
        )
    }

    /// i64 [n]: how many pairs of each latent have a value (sorted) above 0.
    pub(super) fn firings(&self, values: &Tensor) -> Result<Tensor, TchError> {
        self.sums(&values.f_gt(0.0)?.f_to_kind(Kind::Int64)?)
    }
}

/// `into[i] = Σ_j weights[j] · rows[members[j]]` over the members of bag i.
fn bags(
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
