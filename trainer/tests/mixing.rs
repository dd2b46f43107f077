//! What an autoencoder is given to train on: everything once an epoch, mixed, normalised, and the same again from any point.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use trainmaster_trainer::autoencoder::activations::{ActivationError, ActivationSource, InMemory};
use trainmaster_trainer::autoencoder::mixing_buffer::{Cursor, MixingBuffer};
use trainmaster_trainer::autoencoder::normalization::Normalization;
use trainmaster_trainer::autoencoder::random::Random;
use trainmaster_trainer::autoencoder::sequence_order::SequenceOrder;

/// Batches that will follow: as good as endless.
const MORE: u64 = 1_000_000;
const PER_SEQUENCE: i64 = 8;
const UNCHANGED: Normalization = Normalization {
    scale: 1.0,
    largest_norm: f64::INFINITY,
};

/// Rows that say who they are: (number, 1).
fn numbered(rows: i64) -> InMemory {
    let numbers = Tensor::arange(rows, (Kind::Float, Device::Cpu));
    InMemory::new(
        Tensor::stack(&[&numbers, &numbers.ones_like()], 1),
        PER_SEQUENCE,
    )
}

fn buffer(source: &InMemory, sequences_per_block: u64, cursor: Cursor) -> MixingBuffer {
    let order = SequenceOrder::new(9, source.sequences());
    MixingBuffer::new(9, order, UNCHANGED, sequences_per_block, cursor)
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn next(buffer: &mut MixingBuffer, source: &mut InMemory, size: i64) -> Vec<i64> {
    let batch = Tensor::zeros([size, 2], (Kind::Float, Device::Cpu));
    assert!(
        buffer
            .next_batch(source, &batch, MORE, &mut go_on)
            .unwrap()
            .is_continue()
    );
    Vec::try_from(batch.select(1, 0).to_kind(Kind::Int64)).unwrap()
}

#[test]
fn an_epoch_serves_every_activation_once_and_mixes_sequences() {
    let mut source = numbered(40 * PER_SEQUENCE);
    // Blocks of 7 sequences do not fit an epoch of 40, nor batches of 20 a block of 56: seven epochs are 40 blocks, 112 batches.
    let mut buffer = buffer(&source, 7, Cursor::default());
    let served: Vec<Vec<i64>> = (0..112)
        .map(|_| next(&mut buffer, &mut source, 20))
        .collect();
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for row in served.iter().flatten() {
        *counts.entry(*row).or_default() += 1;
    }
    assert!(counts.keys().copied().eq(0..320));
    assert!(counts.values().all(|count| *count == 7));
    let sequences: BTreeSet<i64> = served[0].iter().map(|row| row / PER_SEQUENCE).collect();
    assert!(sequences.len() >= 4, "a batch has several sequences in it");
}

#[test]
fn from_any_cursor_the_stream_goes_on_as_it_would_have() {
    let mut source = numbered(40 * PER_SEQUENCE);
    let mut whole = buffer(&source, 7, Cursor::default());
    for _ in 0..30 {
        let mut again = buffer(&source, 7, whole.cursor());
        let expected = next(&mut whole, &mut source, 20);
        assert_eq!(next(&mut again, &mut source, 20), expected);
        assert_eq!(again.cursor(), whole.cursor());
    }
}

#[test]
fn a_batch_that_is_interrupted_has_not_been_served() {
    let mut source = numbered(40 * PER_SEQUENCE);
    let mut buffer = buffer(&source, 16, Cursor::default());
    let batch = Tensor::zeros([20, 2], (Kind::Float, Device::Cpu));
    let mut stop = |_| ControlFlow::Break(());
    let broken = buffer
        .next_batch(&mut source, &batch, MORE, &mut stop)
        .unwrap();
    assert!(broken.is_break());
    assert_eq!(buffer.cursor(), Cursor::default());
}

#[test]
fn reading_is_spread_over_batches_and_ends_with_what_is_needed() {
    struct Counting(InMemory, u64);
    impl ActivationSource for Counting {
        fn width(&self) -> i64 {
            self.0.width()
        }
        fn sequences(&self) -> u64 {
            self.0.sequences()
        }
        fn activations_per_sequence(&self) -> u64 {
            self.0.activations_per_sequence()
        }
        fn sequences_per_pass(&self) -> usize {
            2
        }
        fn read(&mut self, sequences: &[u64]) -> Result<Tensor, ActivationError> {
            self.1 += sequences.len() as u64;
            self.0.read(sequences)
        }
    }
    // A block of 16 sequences of 8 is 8 batches of 16, so each batch uses up 2 sequences.
    let mut source = Counting(numbered(64 * PER_SEQUENCE), 0);
    let mut buffer = buffer(&source.0, 16, Cursor::default());
    let batch = Tensor::zeros([16, 2], (Kind::Float, Device::Cpu));
    let mut read = Vec::new();
    for more in (0..16).rev() {
        let served = buffer
            .next_batch(&mut source, &batch, more, &mut go_on)
            .unwrap();
        assert!(served.is_continue());
        read.push(source.1);
    }
    let expected: Vec<u64> = (0..16).map(|step| 16 + 2 * (step + 1).min(8)).collect();
    assert_eq!(read, expected);
}

#[test]
fn a_dataset_smaller_than_a_batch_is_read_again_and_again() {
    let mut source = numbered(2 * PER_SEQUENCE);
    let mut buffer = buffer(&source, 2, Cursor::default());
    let rows = next(&mut buffer, &mut source, 50);
    assert!(rows.iter().all(|row| (0..16).contains(row)));
}

#[test]
fn a_dataset_without_a_position_to_train_on_is_an_error_not_a_loop() {
    struct Nothing;
    impl ActivationSource for Nothing {
        fn width(&self) -> i64 {
            2
        }
        fn sequences(&self) -> u64 {
            5
        }
        fn activations_per_sequence(&self) -> u64 {
            3
        }
        fn sequences_per_pass(&self) -> usize {
            2
        }
        fn read(&mut self, _: &[u64]) -> Result<Tensor, ActivationError> {
            Ok(Tensor::zeros([0, 2], (Kind::Float, Device::Cpu)))
        }
    }
    let order = SequenceOrder::new(1, 5);
    let mut buffer = MixingBuffer::new(1, order.clone(), UNCHANGED, 2, Cursor::default());
    let batch = Tensor::zeros([4, 2], (Kind::Float, Device::Cpu));
    let error = buffer
        .next_batch(&mut Nothing, &batch, MORE, &mut go_on)
        .unwrap_err();
    assert!(
        matches!(error, ActivationError::Empty { sequences: 5 }),
        "{error}"
    );
    let error = Normalization::estimate(&mut Nothing, &order, &mut |_| ()).unwrap_err();
    assert!(
        matches!(error, ActivationError::Empty { sequences: 5 }),
        "{error}"
    );
}

#[test]
fn normalised_activations_have_the_norm_of_their_width_and_no_outliers() {
    const WIDTH: i64 = 16;
    let mut random = Random::new(5, "activations", 0);
    let mut numbers: Vec<f32> = (0..256 * WIDTH)
        .map(|_| 3.0 + random.normal() as f32)
        .collect();
    // One activation in the way of attention sinks.
    for number in &mut numbers[..WIDTH as usize] {
        *number *= 500.0;
    }
    let rows = Tensor::from_slice(&numbers).view([256, WIDTH]);
    let mut source = InMemory::new(rows.shallow_clone(), 8);
    let order = SequenceOrder::new(1, source.sequences());
    let (normalization, mean) = Normalization::estimate(&mut source, &order, &mut |_| ()).unwrap();
    let scaled = normalization.apply(&rows).unwrap();
    assert_eq!(scaled.size(), [255, WIDTH]);
    let norm = scaled
        .norm_scalaropt_dim(2.0, [1i64].as_slice(), false)
        .mean(Kind::Double)
        .double_value(&[]);
    assert!((norm - (WIDTH as f64).sqrt()).abs() < 1e-4, "{norm}");
    let off = (scaled.mean_dim([0i64].as_slice(), false, Kind::Float) - mean)
        .abs()
        .max();
    assert!(off.double_value(&[]) < 1e-5);
    // What is not a number is no outlier: it has to be noticed, not dropped.
    let broken = Tensor::full([1, WIDTH], f64::NAN, (Kind::Float, Device::Cpu));
    assert_eq!(normalization.apply(&broken).unwrap().size(), [1, WIDTH]);
}
