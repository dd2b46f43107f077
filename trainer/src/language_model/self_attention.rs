//! A layer's self-attention: its products, positions and cache around [`super::attention`].

use super::{attention, kv_cache::KvCache, linear::Linear, rotary::Rotary};
use tch::{TchError, Tensor};

/// The self-attention of a layer. Queries, keys and values are one product.
pub(super) struct SelfAttention {
    /// Queries, keys and values: `[(heads + 2 · key-value heads) · head_dim, hidden]`; what rotary embeddings turn, in pairs side
    /// by side.
    pub(super) query_key_value: Linear,
    /// `[hidden, heads · head_dim]`
    pub(super) output: Linear,
    /// Heads of queries.
    pub(super) heads: i64,
    /// Heads of keys and values.
    pub(super) shared: i64,
    /// Width of a head.
    pub(super) width: i64,
}

/// What queries and keys of each position are multiplied with, as complex numbers: `[length, 1, head_dim / 2]`.
pub(super) struct Factors {
    /// With the scale of attention scores in it: 1 / √head_dim.
    queries: Tensor,
    keys: Tensor,
}

impl Factors {
    /// Of positions `start..start + length`.
    pub(super) fn new(
        rotary: &Rotary,
        start: i64,
        length: i64,
        head_dim: i64,
    ) -> Result<Self, TchError> {
        let keys = rotary.factors(start, length)?;
        let queries = keys.f_mul_scalar(1.0 / (head_dim as f64).sqrt())?;
        Ok(Self { queries, keys })
    }
}

impl SelfAttention {
    /// Attention of `input` (`[batch, length, hidden]`) to itself, and to what `cache` holds of this layer. `factors`: of rotary
    /// embeddings, where the model has them.
    pub(super) fn forward(
        &self,
        input: &Tensor,
        factors: Option<&Factors>,
        cache: Option<(&KvCache, usize)>,
    ) -> Result<Tensor, TchError> {
        let (batch, length, _) = input.size3()?;
        let (heads, shared, width) = (self.heads, self.shared, self.width);
        let all = self.query_key_value.forward(input)?.f_view([
            batch,
            length,
            heads + 2 * shared,
            width,
        ])?;
        let queries = all.f_narrow(2, 0, heads)?;
        let keys = all.f_narrow(2, heads, shared)?;
        let (queries, keys) = match factors {
            Some(factors) => (
                Rotary::turn(&queries, &factors.queries)?,
                Rotary::turn(&keys, &factors.keys)?,
            ),
            None => (queries.f_mul_scalar(1.0 / (width as f64).sqrt())?, keys),
        };
        let keys = keys.f_transpose(1, 2)?;
        let values = all.f_narrow(2, heads + shared, shared)?.f_transpose(1, 2)?;
        let (keys, values) = match cache {
            Some((cache, layer)) => cache.extend(layer, &keys, &values)?,
            None => (keys, values),
        };
        self.output
            .forward(&attention::causal(&queries, &keys, &values)?)
    }
}
