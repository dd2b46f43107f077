//! What an autoencoder is given to train on: everything once an epoch, mixed, normalised, and the same again from any point.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use tch::{Device, Kind, Tensor};
use trainmaster_trainer::autoencoder::activations::{ActivationError, ActivationSource, InMemory};
use trainmaster_trainer::autoencoder::mixing_buffer::{Batch, Cursor, Feed, MixingBuffer, Reading};
use trainmaster_trainer::autoencoder::normalization::Normalization;
use trainmaster_trainer::random::Random;
use trainmaster_trainer::random_order::RandomOrder;

/// Batches that will follow: as good as endless.
const MORE: u64 = 1_000_000;
const PER_PASS: i64 = 8;
const UNCHANGED: Normalization = Normalization {
    scale: 1.0,
    largest_norm: f64::INFINITY,
};

/// Rows that say who they are: (number, 1).
fn numbered(rows: i64) -> InMemory {
    let numbers = Tensor::arange(rows, (Kind::Float, Device::Cpu));
    InMemory::new(
        Tensor::stack(&[&numbers, &numbers.ones_like()], 1),
        PER_PASS,
    )
}

fn reading(stream: usize, normalization: Normalization) -> Reading {
    Reading {
        stream,
        normalization,
    }
}

/// An autoencoder's, of one stream.
fn feed(stream: usize, normalization: Normalization) -> Feed {
    Feed {
        input: reading(stream, normalization),
        target: None,
    }
}

fn buffer(source: &InMemory, passes_per_block: u64, cursor: Cursor) -> MixingBuffer {
    fed(source, vec![feed(0, UNCHANGED)], passes_per_block, cursor)
}

fn fed(source: &InMemory, feeds: Vec<Feed>, passes_per_block: u64, cursor: Cursor) -> MixingBuffer {
    let order = RandomOrder::new(9, source.passes());
    MixingBuffer::new(9, order, feeds, passes_per_block, cursor)
}

fn room(size: i64, width: i64, target: Option<i64>) -> Batch {
    Batch::zeros(size, width, target, Device::Cpu).unwrap()
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn next(buffer: &mut MixingBuffer, source: &mut InMemory, size: i64) -> Vec<i64> {
    let batch = room(size, 2, None);
    assert!(
        buffer
            .next_batch(source, &[&batch], MORE, &mut go_on)
            .unwrap()
            .is_continue()
    );
    first_column(&batch.input)
}

fn first_column(rows: &Tensor) -> Vec<i64> {
    Vec::try_from(rows.select(1, 0).round().to_kind(Kind::Int64)).unwrap()
}

#[test]
fn an_epoch_serves_every_activation_once_and_mixes_sequences() {
    let mut source = numbered(40 * PER_PASS);
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
    let sequences: BTreeSet<i64> = served[0].iter().map(|row| row / PER_PASS).collect();
    assert!(sequences.len() >= 4, "a batch has several sequences in it");
}

#[test]
fn from_any_cursor_the_stream_goes_on_as_it_would_have() {
    let mut source = numbered(40 * PER_PASS);
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
    let mut source = numbered(40 * PER_PASS);
    let mut buffer = buffer(&source, 16, Cursor::default());
    let batch = room(20, 2, None);
    let mut stop = |_| ControlFlow::Break(());
    let broken = buffer
        .next_batch(&mut source, &[&batch], MORE, &mut stop)
        .unwrap();
    assert!(broken.is_break());
    assert_eq!(buffer.cursor(), Cursor::default());
}

#[test]
fn reading_is_spread_over_batches_and_ends_with_what_is_needed() {
    struct Counting(InMemory, u64);
    impl ActivationSource for Counting {
        fn passes(&self) -> u64 {
            self.0.passes()
        }
        fn activations_per_pass(&self) -> u64 {
            self.0.activations_per_pass()
        }
        fn read(&mut self, pass: u64) -> Result<Vec<Tensor>, ActivationError> {
            self.1 += 1;
            self.0.read(pass)
        }
    }
    // A block of 16 passes of 8 is 8 batches of 16, so each batch uses up 2 passes.
    let mut source = Counting(numbered(64 * PER_PASS), 0);
    let mut buffer = buffer(&source.0, 16, Cursor::default());
    let batch = room(16, 2, None);
    let mut read = Vec::new();
    for more in (0..16).rev() {
        let served = buffer
            .next_batch(&mut source, &[&batch], more, &mut go_on)
            .unwrap();
        assert!(served.is_continue());
        read.push(source.1);
    }
    let expected: Vec<u64> = (0..16).map(|step| 16 + 2 * (step + 1).min(8)).collect();
    assert_eq!(read, expected);
}

#[test]
fn a_dataset_smaller_than_a_batch_is_read_again_and_again() {
    let mut source = numbered(2 * PER_PASS);
    let mut buffer = buffer(&source, 2, Cursor::default());
    let rows = next(&mut buffer, &mut source, 50);
    assert!(rows.iter().all(|row| (0..16).contains(row)));
}

#[test]
fn a_dataset_without_a_position_to_train_on_is_an_error_not_a_loop() {
    struct Nothing;
    impl ActivationSource for Nothing {
        fn passes(&self) -> u64 {
            5
        }
        fn activations_per_pass(&self) -> u64 {
            3
        }
        fn read(&mut self, _: u64) -> Result<Vec<Tensor>, ActivationError> {
            Ok(vec![Tensor::zeros([0, 2], (Kind::Float, Device::Cpu))])
        }
    }
    let order = RandomOrder::new(1, 5);
    let feeds = vec![feed(0, UNCHANGED)];
    let mut buffer = MixingBuffer::new(1, order.clone(), feeds, 2, Cursor::default());
    let batch = room(4, 2, None);
    let error = buffer
        .next_batch(&mut Nothing, &[&batch], MORE, &mut go_on)
        .unwrap_err();
    assert!(
        matches!(error, ActivationError::Empty { passes: 5 }),
        "{error}"
    );
    let error = Normalization::estimate(&mut Nothing, &order, &mut |_| ()).unwrap_err();
    assert!(
        matches!(error, ActivationError::Empty { passes: 5 }),
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
    let order = RandomOrder::new(1, source.passes());
    let estimate = Normalization::estimate(&mut source, &order, &mut |_| ())
        .unwrap()
        .remove(0);
    let normalization = estimate.normalization;
    let outliers = normalization.outliers(&rows).unwrap();
    assert_eq!(
        Vec::<i64>::try_from(outliers.nonzero().view([-1])).unwrap(),
        [0]
    );
    let scaled = rows.narrow(0, 1, 255) * normalization.scale;
    let norm = scaled
        .norm_scalaropt_dim(2.0, [1i64].as_slice(), false)
        .mean(Kind::Double)
        .double_value(&[]);
    assert!((norm - (WIDTH as f64).sqrt()).abs() < 1e-4, "{norm}");
    let off = (scaled.mean_dim([0i64].as_slice(), false, Kind::Float) - estimate.mean)
        .abs()
        .max();
    assert!(off.double_value(&[]) < 1e-5);
    // What is not a number is no outlier: it has to be noticed, not dropped.
    let broken = Tensor::full([1, WIDTH], f64::NAN, (Kind::Float, Device::Cpu));
    assert!(!bool::try_from(normalization.outliers(&broken).unwrap().any()).unwrap());
}

/// Three streams of the same tokens: their numbers; the same a thousand higher, where every tenth is an outlier; and a half of their numbers.
fn streams() -> InMemory {
    let numbers = Tensor::arange(40 * PER_PASS, (Kind::Float, Device::Cpu));
    let tenths = numbers.remainder(10.0).eq(3.0).to_kind(Kind::Float) * 1e6;
    let with = |first: Tensor| Tensor::stack(&[&first, &numbers.ones_like()], 1);
    InMemory::of_streams(
        vec![
            with(numbers.shallow_clone()),
            with(&numbers + 1e3 + tenths),
            with(&numbers / 2.0),
        ],
        PER_PASS,
    )
}

#[test]
fn several_autoencoders_are_fed_what_each_would_be_alone() {
    let bounded = Normalization {
        scale: 1.0,
        largest_norm: 1e5,
    };
    let feeds = [
        feed(0, UNCHANGED),
        feed(1, bounded),
        Feed {
            input: reading(1, bounded),
            target: Some(reading(2, UNCHANGED)),
        },
    ];
    let targets = [None, None, Some(2)];
    let mut source = streams();
    let mut together = fed(&source, feeds.to_vec(), 7, Cursor::default());
    let mut alone: Vec<MixingBuffer> = feeds
        .iter()
        .map(|feed| fed(&source, vec![*feed], 7, Cursor::default()))
        .collect();
    for _ in 0..40 {
        let batches = targets.map(|target| room(20, 2, target));
        let _ = together
            .next_batch(&mut source, &batches.each_ref(), MORE, &mut go_on)
            .unwrap();
        for ((buffer, batch), target) in alone.iter_mut().zip(&batches).zip(targets) {
            let own = room(20, 2, target);
            let _ = buffer
                .next_batch(&mut source, &[&own], MORE, &mut go_on)
                .unwrap();
            assert_eq!(own.input, batch.input);
            assert_eq!(own.target, batch.target);
            assert_eq!(buffer.cursor(), together.cursor());
        }
        // Outliers are replaced, and what belongs together stays together.
        let inputs = first_column(&batches[2].input);
        assert!(inputs.iter().all(|row| *row < 10_000 && row % 10 != 3));
        let halves = batches[2].target().select(1, 0) * 2.0;
        assert_eq!(
            halves,
            batches[2].input.select(1, 0) - 1e3,
            "an activation and its target are of one token"
        );
    }
}

#[test]
fn a_block_serves_as_many_activations_as_it_has_and_others_for_its_outliers() {
    let bounded = Normalization {
        scale: 1.0,
        largest_norm: 1e5,
    };
    let mut source = streams();
    let mut buffer = fed(&source, vec![feed(1, bounded)], 40, Cursor::default());
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    let batch = room(320, 2, None);
    let _ = buffer
        .next_batch(&mut source, &[&batch], 0, &mut go_on)
        .unwrap();
    for row in first_column(&batch.input) {
        *counts.entry(row - 1_000).or_default() += 1;
    }
    assert_eq!(buffer.cursor(), Cursor { block: 0, row: 320 });
    assert_eq!(counts.len(), 288, "each but the 32 outliers");
    assert_eq!(counts.values().filter(|count| **count == 2).count(), 32);
}
