//! Causal grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245).
//!
//! On a GPU libtorch's fused kernel does it. On a CPU that kernel computes scores of bf16 no faster than of f32, so there it is
//! done as libtorch's batched products, a block of queries at a time: a block multiplies only keys that are not after it,
//! queries that share a key head are rows of one product, and scores take no more memory than a block's.

use tch::{Device, Kind, TchError, Tensor};

/// Queries of a block. Between 32 and 64 was fastest for sequences of 256 on a CPU with AVX-512.
const BLOCK: i64 = 64;

/// Attention of `queries` (`[batch, length, heads, width]`, already scaled) to `keys` and `values` (`[batch, shared heads, total,
/// width]`) at and before their positions: `[batch, length, heads · width]`. The queries are those of the last `length` of the
/// `total` positions.
pub(super) fn causal(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor, TchError> {
    let (batch, length, heads, width) = queries.size4()?;
    let mixed = if queries.device() == Device::Cpu {
        in_blocks(queries, keys, values)?
    } else {
        fused(queries, keys, values)?
    };
    mixed.f_reshape([batch, length, heads * width])
}

fn fused(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor, TchError> {
    let (_, length, heads, _) = queries.size4()?;
    let (_, shared, total, _) = keys.size4()?;
    // The kernel's own causal mask takes queries for the first positions. A single query sees all.
    let mask = if length == total || length == 1 {
        None
    } else {
        let all = Tensor::f_ones([length, total], (Kind::Bool, queries.device()))?;
        Some(all.f_tril(total - length)?)
    };
    Tensor::f_scaled_dot_product_attention(
        &queries.f_transpose(1, 2)?,
        keys,
        values,
        mask.as_ref(),
        0.0,
        length == total && length > 1,
        1.0,
        heads != shared,
    )?
    .f_transpose(1, 2)
}

fn in_blocks(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor, TchError> {
    let (batch, length, heads, width) = queries.size4()?;
    let (_, shared, total, _) = keys.size4()?;
    let past = total - length;
    let group = heads / shared;
    let products = batch * shared;
    let flat = |tensor: &Tensor| tensor.f_reshape([products, total, width]);
    let (keys, values) = (flat(keys)?.f_transpose(1, 2)?, flat(values)?);
    // [batch, shared, group, length, width]
    let grouped = |tensor: &Tensor| {
        tensor
            .f_view([batch, length, shared, group, width])?
            .f_permute([0, 2, 3, 1, 4])
    };
    let queries = grouped(&queries.f_contiguous()?)?;
    let mixed = Tensor::f_empty(
        [batch, length, heads, width],
        (queries.kind(), queries.device()),
    )?;
    let mixed_grouped = grouped(&mixed)?;
    let largest = BLOCK.min(length);
    let after = Tensor::f_full(
        [largest, largest],
        f64::NEG_INFINITY,
        (queries.kind(), queries.device()),
    )?
    .f_triu(1)?;
    let mut start = 0;
    while start < length {
        let rows = BLOCK.min(length - start);
        let end = past + start + rows;
        let block = queries
            .f_narrow(3, start, rows)?
            .f_reshape([products, group * rows, width])?;
        let scores = block.f_bmm(&keys.f_narrow(2, 0, end)?)?;
        let _ = scores
            .f_narrow(2, past + start, rows)?
            .f_unflatten(1, [group, rows])?
            .f_add_(&after.f_narrow(0, 0, rows)?.f_narrow(1, 0, rows)?)?;
        let weights = scores.f_internal_softmax(-1, false)?;
        let block = weights.f_bmm(&values.f_narrow(1, 0, end)?)?;
        mixed_grouped
            .f_narrow(3, start, rows)?
            .f_copy_(&block.f_view([batch, shared, group, rows, width])?)?;
        start += rows;
    }
    Ok(mixed)
}
