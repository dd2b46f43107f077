//! Mixes activations, so that a step does not see neighbours of one text, in bounded memory, and can go on from a cursor.
//!
//! Sequences are read in a random order ([`SequenceOrder`]), a block of them at a time; the activations of a block are served in a random
//! order, while the next block is read, a little with each batch. Both orders are functions of the seed, so the cursor (which block, how far)
//! is all that a checkpoint needs: going on reads one block again. A batch that a block cannot fill takes the rest from the next.

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
    /// The block at the cursor; none until it has been read.
    current: Option<Block>,
    /// The block after it, as far as it has been read.
    ahead: Option<Block>,
}

#[derive(Debug)]
struct Block {
    number: u64,
    /// Scaled activations, f32 [capacity, width], in the order in which they were read.
    rows: Tensor,
    /// How many there are so far.
    count: u64,
    /// Sequences read so far.
    sequences: u64,
    /// i64 [count]: the order in which rows are served, once all have been read.
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
            current: None,
            ahead: None,
        }
    }

    /// What has been served.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Fills `batch` (f32 [b, width]) with the next activations, and reads ahead for `more` batches that will follow it. Breaks, with the
    /// cursor unmoved, when `tick` asks for it before the batch is full.
    ///
    /// # Errors
    /// The source's, and [`ActivationError::Empty`] when an epoch of sequences holds nothing to train on.
    pub fn next_batch(
        &mut self,
        source: &mut dyn ActivationSource,
        batch: &Tensor,
        more: u64,
        tick: Tick,
    ) -> Result<ControlFlow<()>, ActivationError> {
        let size = batch.size2()?.0 as u64;
        let mut at = self.cursor;
        let mut filled = 0;
        let mut empty_sequences = 0;
        loop {
            let block = match self.current.take() {
                Some(block) => block,
                None => {
                    let mut block = self.block(at.block, source, batch.device())?;
                    if self.finish(&mut block, source, tick)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    block
                }
            };
            let take = (size - filled).min(block.count.saturating_sub(at.row));
            if take > 0 {
                let chosen = block.order.f_narrow(0, at.row as i64, take as i64)?;
                let into = batch.f_narrow(0, filled as i64, take as i64)?;
                let _ = block.rows.f_index_select_out(&into, 0, &chosen)?;
                filled += take;
                at.row += take;
                empty_sequences = 0;
            } else {
                empty_sequences += block.sequences;
            }
            if filled == size {
                self.cursor = at;
                let left = block.count - at.row;
                let (batches, count) = (block.count / size.max(1), block.sequences);
                self.current = Some(block);
                if more * size > left {
                    self.read_ahead(count.div_ceil(batches.max(1)), source, batch.device(), tick)?;
                }
                return Ok(ControlFlow::Continue(()));
            }
            if empty_sequences > source.sequences() {
                return Err(ActivationError::Empty {
                    sequences: source.sequences(),
                });
            }
            at = Cursor {
                block: at.block + 1,
                row: 0,
            };
        }
    }

    /// The block of a number, as far as it has been read.
    fn block(
        &mut self,
        number: u64,
        source: &dyn ActivationSource,
        device: Device,
    ) -> Result<Block, ActivationError> {
        if let Some(block) = self.ahead.take_if(|block| block.number == number) {
            return Ok(block);
        }
        let capacity = self.sequences_per_block * source.activations_per_sequence();
        let shape = [capacity as i64, source.width()];
        Ok(Block {
            number,
            rows: Tensor::f_empty(shape, (Kind::Float, device))?,
            count: 0,
            sequences: 0,
            order: on(&[], device)?,
        })
    }

    /// Reads some sequences of the block after the current one, which is how much a batch uses up.
    fn read_ahead(
        &mut self,
        sequences: u64,
        source: &mut dyn ActivationSource,
        device: Device,
        tick: Tick,
    ) -> Result<(), ActivationError> {
        let mut block = self.block(self.cursor.block + 1, source, device)?;
        let until = self.sequences_per_block.min(block.sequences + sequences);
        while block.sequences < until {
            self.read_pass(&mut block, source)?;
            if tick(block.sequences).is_break() {
                break;
            }
        }
        self.ahead = Some(block);
        Ok(())
    }

    /// Reads what is missing of a block.
    fn finish(
        &self,
        block: &mut Block,
        source: &mut dyn ActivationSource,
        tick: Tick,
    ) -> Result<ControlFlow<()>, ActivationError> {
        while block.sequences < self.sequences_per_block {
            self.read_pass(block, source)?;
            if tick(block.sequences).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        let random = Random::new(self.seed, "mixing buffer", block.number);
        block.order = on(
            &random.permutation(block.count as usize),
            block.rows.device(),
        )?;
        Ok(ControlFlow::Continue(()))
    }

    /// Reads as many sequences of a block as the source reads at once.
    fn read_pass(
        &self,
        block: &mut Block,
        source: &mut dyn ActivationSource,
    ) -> Result<(), ActivationError> {
        let first = block.number * self.sequences_per_block;
        let pass = source.sequences_per_pass().max(1) as u64;
        let end = self.sequences_per_block.min(block.sequences + pass);
        let ids: Vec<u64> = (block.sequences..end)
            .map(|at| self.order.sequence(first + at))
            .collect();
        let activations = self.normalization.apply(&source.read(&ids)?)?;
        let read = activations.size2()?.0;
        block
            .rows
            .f_narrow(0, block.count as i64, read)?
            .f_copy_(&activations)?;
        block.count += read as u64;
        block.sequences = end;
        Ok(())
    }
}

fn on(numbers: &[i64], device: Device) -> Result<Tensor, TchError> {
    Tensor::f_from_slice(numbers)?.f_to_device(device)
}
