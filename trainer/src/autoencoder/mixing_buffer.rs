//! Mixes activations, so that a step does not see neighbours of one text, in bounded memory, and can go on from a cursor.
//!
//! Sequences are read in a random order ([`SequenceOrder`]), a block of them at a time; the activations of a block are served in a random
//! order. Both orders are functions of the seed, so the cursor (which block, how far) is all that a checkpoint needs: going on reads one block
//! again. A batch that a block cannot fill takes the rest from the next.

use super::activations::{ActivationError, ActivationSource};
use super::normalization::Normalization;
use super::random::Random;
use super::sequence_order::SequenceOrder;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use tch::{Device, Kind, TchError, Tensor};

/// How far the stream of activations has been served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Which block.
    pub block: u64,
    /// How many of its activations have been served.
    pub row: u64,
}

/// Called after each pass over a source with the sequences read so far; may ask to stop.
pub type Tick<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// The buffer.
#[derive(Debug)]
pub struct MixingBuffer {
    seed: u64,
    order: SequenceOrder,
    normalization: Normalization,
    sequences_per_block: u64,
    cursor: Cursor,
    /// Scaled activations of the block at the cursor, f32 [capacity, width], unshuffled; none until it has been read.
    block: Option<Block>,
}

#[derive(Debug)]
struct Block {
    rows: Tensor,
    count: u64,
    /// i64 [count]: the order in which rows are served.
    order: Tensor,
}

impl MixingBuffer {
    /// A buffer whose blocks are `sequences_per_block` sequences (at least one), at a cursor.
    #[must_use]
    pub fn new(
        seed: u64,
        order: SequenceOrder,
        normalization: Normalization,
        sequences_per_block: u64,
        cursor: Cursor,
    ) -> Self {
        Self {
            seed,
            order,
            normalization,
            sequences_per_block: sequences_per_block.max(1),
            cursor,
            block: None,
        }
    }

    /// What has been served.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Fills `batch` (f32 [b, width]) with the next activations. Breaks, with the cursor unmoved, when `tick` asks for it.
    ///
    /// # Errors
    /// The source's, and [`ActivationError::Empty`] when an epoch of sequences holds nothing to train on.
    pub fn next_batch(
        &mut self,
        source: &mut dyn ActivationSource,
        batch: &Tensor,
        tick: Tick,
    ) -> Result<ControlFlow<()>, ActivationError> {
        let size = batch.size2()?.0 as u64;
        let mut at = self.cursor;
        let mut filled = 0;
        let mut empty_sequences = 0;
        while filled < size {
            let block = match self.block.take() {
                Some(block) => block,
                None => match self.read_block(at.block, source, batch.device(), tick)? {
                    ControlFlow::Continue(block) => block,
                    ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
                },
            };
            let take = (size - filled).min(block.count.saturating_sub(at.row));
            if take > 0 {
                let chosen = block.order.f_narrow(0, at.row as i64, take as i64)?;
                let into = batch.f_narrow(0, filled as i64, take as i64)?;
                let _ = block.rows.f_index_select_out(&into, 0, &chosen)?;
                filled += take;
                at.row += take;
            }
            if filled < size {
                if block.count == 0 {
                    empty_sequences += self.sequences_per_block;
                } else {
                    empty_sequences = 0;
                }
                if empty_sequences >= source.sequences() {
                    return Err(ActivationError::Empty {
                        sequences: source.sequences(),
                    });
                }
                at = Cursor {
                    block: at.block + 1,
                    row: 0,
                };
            } else {
                self.block = Some(block);
            }
        }
        self.cursor = at;
        Ok(ControlFlow::Continue(()))
    }

    fn read_block(
        &self,
        block: u64,
        source: &mut dyn ActivationSource,
        device: Device,
        tick: Tick,
    ) -> Result<ControlFlow<(), Block>, ActivationError> {
        let capacity = self.sequences_per_block * source.activations_per_sequence();
        let rows = Tensor::f_empty([capacity as i64, source.width()], (Kind::Float, device))?;
        let mut count = 0;
        let first = block * self.sequences_per_block;
        let end = first + self.sequences_per_block;
        let mut position = first;
        while position < end {
            let pass = source.sequences_per_pass().max(1) as u64;
            let ids: Vec<u64> = (position..end.min(position + pass))
                .map(|at| self.order.sequence(at))
                .collect();
            let activations = self.normalization.apply(&source.read(&ids)?)?;
            let read = activations.size2()?.0;
            rows.f_narrow(0, count, read)?.f_copy_(&activations)?;
            count += read;
            position += ids.len() as u64;
            if tick(position).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let order = Random::new(self.seed, "mixing buffer", block).permutation(count as usize);
        Ok(ControlFlow::Continue(Block {
            rows,
            count: count as u64,
            order: on(&order, device)?,
        }))
    }
}

fn on(numbers: &[i64], device: Device) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(numbers)?.f_to_device(device)
}
