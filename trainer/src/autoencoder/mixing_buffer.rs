//! Mixes activations, so that a step does not see neighbours of one text, in bounded memory, and can go on from a cursor.
//!
//! Passes over the dataset are read in a random order ([`RandomOrder`]), a block of them at a time; the activations of a block are served in
//! a random order, while the next block is read, a little with each batch. Both orders are functions of the seed, so the cursor (which
//! block, how far) is all that a checkpoint needs: going on reads one block again. A batch that a block cannot fill takes the rest from the
//! next. Two blocks of every stream are in memory, and no more.
//!
//! Several autoencoders are fed from the same blocks with the same cursor. Each is served what it would be served alone: a block serves as
//! many activations as it has, and in the place of those that are outliers to one of them, that one is served others of the block again.

mod block;

use super::activations::{ActivationError, ActivationSource};
use super::normalization::Normalization;
use crate::random_order::RandomOrder;
use block::Block;
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

/// A stream of a source, and how it is scaled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Which stream, from 0.
    pub stream: usize,
    /// How it is scaled.
    pub normalization: Normalization,
}

/// What one autoencoder is fed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feed {
    /// What goes in.
    pub input: Reading,
    /// What is to come out; none: what goes in.
    pub target: Option<Reading>,
}

impl Feed {
    fn readings(&self) -> impl Iterator<Item = &Reading> {
        std::iter::once(&self.input).chain(&self.target)
    }
}

/// A batch of one autoencoder.
#[derive(Debug)]
pub struct Batch {
    /// f32 [b, d_in], scaled.
    pub input: Tensor,
    /// f32 [b, d_out], scaled; row i belongs to the same token as row i of the input.
    pub target: Option<Tensor>,
}

impl Batch {
    /// Room for `b` activations.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn zeros(b: i64, d_in: i64, d_out: Option<i64>, device: Device) -> Result<Self, TchError> {
        let room = |d| Tensor::f_zeros([b, d], (Kind::Float, device));
        Ok(Self {
            input: room(d_in)?,
            target: d_out.map(room).transpose()?,
        })
    }

    /// What is to come out.
    pub fn target(&self) -> &Tensor {
        self.target.as_ref().unwrap_or(&self.input)
    }
}

/// Called after each pass over a source with the passes of a block read so far; may ask to stop.
pub type Tick<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// The buffer.
#[derive(Debug)]
pub struct MixingBuffer {
    seed: u64,
    order: RandomOrder,
    feeds: Vec<Feed>,
    passes_per_block: u64,
    cursor: Cursor,
    /// The block at the cursor; none until it has been read.
    current: Option<Block>,
    /// The block after it, as far as it has been read.
    ahead: Option<Block>,
}

impl MixingBuffer {
    /// A buffer whose blocks are `passes_per_block` passes (at least one), at a cursor.
    #[must_use]
    pub fn new(
        seed: u64,
        order: RandomOrder,
        feeds: Vec<Feed>,
        passes_per_block: u64,
        cursor: Cursor,
    ) -> Self {
        Self {
            seed,
            order,
            feeds,
            passes_per_block: passes_per_block.max(1),
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

    /// Fills a batch for each feed (all of one size) with the next activations, and reads ahead for `more` batches that will follow. Breaks,
    /// with the cursor unmoved, when `tick` asks for it before the batches are full.
    ///
    /// # Errors
    /// The source's, and [`ActivationError::Empty`] when an epoch holds nothing to train on.
    pub fn next_batch(
        &mut self,
        source: &mut dyn ActivationSource,
        batches: &[&Batch],
        more: u64,
        tick: Tick,
    ) -> Result<ControlFlow<()>, ActivationError> {
        let size = match batches.first() {
            Some(batch) => batch.input.size2()?.0 as u64,
            None => 0,
        };
        let mut at = self.cursor;
        let mut filled = 0;
        let mut empty_passes = 0;
        loop {
            let block = match self.current.take() {
                Some(block) => block,
                None => {
                    let mut block = self.block(at.block);
                    if self.finish(&mut block, source, tick)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    block
                }
            };
            let take = (size - filled).min(block.rows().saturating_sub(at.row));
            if take > 0 {
                block.serve(at.row, take, &self.feeds, batches, filled)?;
                filled += take;
                at.row += take;
                empty_passes = 0;
            } else {
                empty_passes += self.passes_per_block;
            }
            if filled == size {
                self.cursor = at;
                let rows = block.rows();
                self.current = Some(block);
                if more * size > rows - at.row {
                    // As far as this block has been served, the next one is read.
                    let until = (self.passes_per_block * at.row).div_ceil(rows.max(1));
                    self.read_ahead(until, source, tick)?;
                }
                return Ok(ControlFlow::Continue(()));
            }
            if empty_passes > self.order.count() {
                return Err(ActivationError::Empty {
                    passes: self.order.count(),
                });
            }
            at = Cursor {
                block: at.block + 1,
                row: 0,
            };
        }
    }

    /// The block of a number, as far as it has been read.
    fn block(&mut self, number: u64) -> Block {
        self.ahead
            .take_if(|block| block.number == number)
            .unwrap_or_else(|| Block::new(number, self.feeds.len()))
    }

    /// Reads the block after the current one, up to so many of its passes.
    fn read_ahead(
        &mut self,
        until: u64,
        source: &mut dyn ActivationSource,
        tick: Tick,
    ) -> Result<(), ActivationError> {
        let mut block = self.block(self.cursor.block + 1);
        while block.passes() < until {
            self.read_pass(&mut block, source)?;
            if tick(block.passes()).is_break() {
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
        while block.passes() < self.passes_per_block {
            self.read_pass(block, source)?;
            if tick(block.passes()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        block.mix(self.seed)?;
        Ok(ControlFlow::Continue(()))
    }

    fn read_pass(
        &self,
        block: &mut Block,
        source: &mut dyn ActivationSource,
    ) -> Result<(), ActivationError> {
        let position = block.number * self.passes_per_block + block.passes();
        let streams = source.read(self.order.at(position))?;
        let capacity = self.passes_per_block * source.activations_per_pass();
        Ok(block.append(&streams, &self.feeds, capacity)?)
    }
}
