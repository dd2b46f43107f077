//! Keys and values of positions that have been read, so that the next token costs one position's work.

use super::{LanguageModel, LanguageModelError};
use tch::{TchError, Tensor};

/// Keys and values of up to `capacity` positions of `batch` sequences of equal length. All its memory is taken when it is made:
/// `2 · layers · batch · capacity · key-value heads · head_dim` numbers of the model's kind.
pub struct KvCache {
    /// Of each layer `[batch, key-value heads, capacity, head_dim]`, with rotary embeddings applied.
    keys: Vec<Tensor>,
    values: Vec<Tensor>,
    capacity: i64,
    length: i64,
}

impl KvCache {
    /// An empty cache for the loaded layers of `model`.
    ///
    /// # Errors
    /// [`LanguageModelError::TooLong`] if the model has fewer positions than `capacity`; [`LanguageModelError::Torch`] if there is
    /// not enough memory.
    pub fn new(
        model: &LanguageModel,
        batch: i64,
        capacity: i64,
    ) -> Result<Self, LanguageModelError> {
        model.check_length(capacity)?;
        let config = model.config();
        let shape = [batch, config.num_key_value_heads, capacity, config.head_dim];
        let of_all_layers = || {
            (0..model.loaded_layers())
                .map(|_| Tensor::f_zeros(shape, (model.kind(), model.device())))
                .collect::<Result<Vec<_>, _>>()
                .map_err(LanguageModelError::torch("allocate the key-value cache"))
        };
        Ok(Self {
            keys: of_all_layers()?,
            values: of_all_layers()?,
            capacity,
            length: 0,
        })
    }

    /// Positions that it holds.
    pub fn length(&self) -> i64 {
        self.length
    }

    /// Positions that it can hold.
    pub fn capacity(&self) -> i64 {
        self.capacity
    }

    /// Forgets all positions and keeps the memory.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Writes keys and values (`[batch, key-value heads, new, head_dim]`) of new positions of a layer behind those that are
    /// there, and returns all of them. They count as there only after [`KvCache::advance`].
    pub(super) fn extend(
        &self,
        layer: usize,
        keys: &Tensor,
        values: &Tensor,
    ) -> Result<(Tensor, Tensor), TchError> {
        let new = keys.size4()?.2;
        let extended = |held: &Tensor, added: &Tensor| -> Result<Tensor, TchError> {
            held.f_narrow(2, self.length, new)?.f_copy_(added)?;
            held.f_narrow(2, 0, self.length + new)
        };
        Ok((
            extended(&self.keys[layer], keys)?,
            extended(&self.values[layer], values)?,
        ))
    }

    /// Counts `new` positions as there.
    pub(super) fn advance(&mut self, new: i64) {
        self.length += new;
    }
}
