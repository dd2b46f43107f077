//! The activations of some passes, and the order in which they are served.

use super::{Batch, Feed, Reading};
use crate::random::Random;
use tch::{Kind, TchError, Tensor};

#[derive(Debug)]
pub(super) struct Block {
    pub(super) number: u64,
    passes: u64,
    rows: u64,
    /// Raw activations of each stream, [capacity, width], in the order in which they were read; none before the first pass.
    streams: Vec<Tensor>,
    /// For each feed the rows that are no outliers.
    kept: Vec<Vec<i64>>,
    /// For each feed i64 [rows]: the row that is served at each place, once all have been read.
    orders: Vec<Tensor>,
}

impl Block {
    pub(super) fn new(number: u64, feeds: usize) -> Self {
        Self {
            number,
            passes: 0,
            rows: 0,
            streams: Vec::new(),
            kept: vec![Vec::new(); feeds],
            orders: Vec::new(),
        }
    }

    /// Passes read so far.
    pub(super) fn passes(&self) -> u64 {
        self.passes
    }

    /// Activations read so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes up the activations of a pass. The block will have at most `capacity`.
    pub(super) fn append(
        &mut self,
        streams: &[Tensor],
        feeds: &[Feed],
        capacity: u64,
    ) -> Result<(), TchError> {
        if self.streams.is_empty() {
            for stream in streams {
                let shape = [capacity as i64, stream.size2()?.1];
                self.streams
                    .push(Tensor::f_empty(shape, (stream.kind(), stream.device()))?);
            }
        }
        let at = self.rows as i64;
        let mut count = 0;
        for (into, stream) in self.streams.iter().zip(streams) {
            count = stream.size2()?.0;
            into.f_narrow(0, at, count)?.f_copy_(stream)?;
        }
        for (kept, feed) in self.kept.iter_mut().zip(feeds) {
            match outliers(streams, feed)? {
                None => kept.extend(at..at + count),
                Some(outliers) => {
                    let others = outliers.f_logical_not()?.f_nonzero()?.f_view([-1])?;
                    kept.extend(Vec::<i64>::try_from(others)?.iter().map(|row| at + row));
                }
            }
        }
        self.rows += count as u64;
        self.passes += 1;
        Ok(())
    }

    /// Draws the orders. Where all activations are outliers to a feed, none is one.
    pub(super) fn mix(&mut self, seed: u64) -> Result<(), TchError> {
        let Some(stream) = self.streams.first() else {
            return Ok(());
        };
        let device = stream.device();
        for kept in &mut self.kept {
            if kept.is_empty() {
                kept.extend(0..self.rows as i64);
            }
            let random = Random::new(seed, "mixing buffer", self.number);
            let served: Vec<i64> = random
                .permutation(kept.len())
                .into_iter()
                .filter_map(|place| kept.get(place as usize).copied())
                .collect();
            let served: Vec<i64> = served
                .iter()
                .copied()
                .cycle()
                .take(self.rows as usize)
                .collect();
            self.orders
                .push(Tensor::f_from_slice(&served)?.f_to_device(device)?);
            *kept = Vec::new();
        }
        Ok(())
    }

    /// Copies `take` activations from place `from` on into the batches at row `into`.
    pub(super) fn serve(
        &self,
        from: u64,
        take: u64,
        feeds: &[Feed],
        batches: &[&Batch],
        into: u64,
    ) -> Result<(), TchError> {
        for ((order, feed), batch) in self.orders.iter().zip(feeds).zip(batches) {
            let chosen = order.f_narrow(0, from as i64, take as i64)?;
            let fill = |reading: &Reading, batch: &Tensor| {
                let into = batch.f_narrow(0, into as i64, take as i64)?;
                self.copy(reading, &chosen, into)
            };
            fill(&feed.input, &batch.input)?;
            if let (Some(reading), Some(target)) = (&feed.target, &batch.target) {
                fill(reading, target)?;
            }
        }
        Ok(())
    }

    fn copy(&self, reading: &Reading, chosen: &Tensor, mut into: Tensor) -> Result<(), TchError> {
        let rows = stream(&self.streams, reading)?;
        if rows.kind() == Kind::Float {
            let _ = rows.f_index_select_out(&into, 0, chosen)?;
        } else {
            into.f_copy_(&rows.f_index_select(0, chosen)?)?;
        }
        let _ = into.f_mul_scalar_(reading.normalization.scale)?;
        Ok(())
    }
}

/// Bool [rows]: what is an outlier to a feed, in what goes in or in what is to come out; none where nothing is.
fn outliers(streams: &[Tensor], feed: &Feed) -> Result<Option<Tensor>, TchError> {
    let mut found: Option<Tensor> = None;
    for reading in feed.readings() {
        let mask = reading.normalization.outliers(stream(streams, reading)?)?;
        if mask.f_any()?.f_int64_value(&[])? != 0 {
            found = Some(match found {
                Some(before) => before.f_logical_or(&mask)?,
                None => mask,
            });
        }
    }
    Ok(found)
}

fn stream<'a>(streams: &'a [Tensor], reading: &Reading) -> Result<&'a Tensor, TchError> {
    streams.get(reading.stream).ok_or_else(|| {
        TchError::Shape(format!(
            "there is no stream {} of {}",
            reading.stream,
            streams.len()
        ))
    })
}
