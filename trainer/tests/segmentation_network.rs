//! The network, its loss, and what it is shown, against PyTorch and against values worked out by hand.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::segmentation::{SegmentationSettings, Split};
use trainmaster_trainer::random::Random;
use trainmaster_trainer::segmentation::augmentation::{Augmentation, OUTSIDE};
use trainmaster_trainer::segmentation::loss::{loss, soft_dice};
use trainmaster_trainer::segmentation::overlap::Overlap;
use trainmaster_trainer::segmentation::quality::Quality;
use trainmaster_trainer::segmentation::slices::Slice;
use trainmaster_trainer::segmentation::split::split;
use trainmaster_trainer::segmentation::unet::{Layout, Shape, UNet};
use trainmaster_trainer::segmentation::windows::Windows;
use trainmaster_trainer::tensor_file::TensorFile;

const SHAPE: Shape = Shape {
    channels: 3,
    classes: 3,
    base_channels: 4,
    depth: 2,
};

fn largest(of: &Tensor) -> f64 {
    of.abs().max().double_value(&[])
}

#[test]
fn logits_loss_and_gradients_are_pytorchs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/references/unet.safetensors");
    let file = TensorFile::open(&path).unwrap();
    let of = |kind: &str| -> Tensor {
        let layout = Layout::of(SHAPE);
        let parts = layout.weights().iter().map(|weight| {
            let tensor = file.tensor(&format!("{kind}/{}", weight.name), &weight.size);
            tensor.unwrap().view([-1])
        });
        Tensor::cat(&parts.collect::<Vec<_>>(), 0)
    };
    let network = UNet::of(SHAPE, of("weight").set_requires_grad(true)).unwrap();
    let images = file.tensor("images", &[2, 3, 16, 24]).unwrap();
    let labels = file.tensor("labels", &[2, 16, 24]).unwrap();
    let logits = network.forward(&images).unwrap();
    let theirs = file.tensor("logits", &logits.size()).unwrap();
    assert!(largest(&(&logits - theirs)) < 1e-4);
    let number = |name: &str| file.tensor(name, &[]).unwrap().double_value(&[]);
    let dice = soft_dice(&logits, &labels).unwrap().double_value(&[]);
    assert!((dice - number("dice")).abs() < 1e-6);
    let loss = loss(&logits, &labels, 0.3).unwrap();
    let expected = 0.3 * (1.0 - number("dice")) + 0.7 * number("entropy");
    assert!((loss.double_value(&[]) - expected).abs() < 1e-6);
    let gradient = Tensor::run_backward(&[&loss], &[&network.flat], false, false).remove(0);
    let theirs = of("gradient");
    assert!(largest(&theirs) > 1e-3);
    assert!(largest(&(gradient - &theirs)) < 1e-4 * largest(&theirs).max(1.0));
}

#[test]
fn the_loss_is_what_its_formula_says() {
    // Two pixels, two classes, probabilities of the second class 0.5 and 0.8; only the second pixel is of it. A third lies outside.
    let logit = (0.8f32 / 0.2).ln();
    let logits = Tensor::from_slice(&[0.0, 0.0, 0.0, 0.0, logit, 9.0]).view([1, 2, 1, 3]);
    let labels = Tensor::from_slice(&[0i64, 1, OUTSIDE]).view([1, 1, 3]);
    let dice = soft_dice(&logits, &labels).unwrap().double_value(&[]);
    let by_hand = (2.0 * 0.8 + 1e-5) / (0.5 + 0.8 + 1.0 + 1e-5);
    assert!((dice - by_hand).abs() < 1e-6, "{dice}");
    let entropy = -(0.5f64.ln() + 0.8f64.ln()) / 2.0;
    for weight in [0.0, 0.25, 1.0] {
        let all = loss(&logits, &labels, weight).unwrap().double_value(&[]);
        let expected = weight * (1.0 - by_hand) + (1.0 - weight) * entropy;
        assert!((all - expected).abs() < 1e-6, "{all} is not {expected}");
    }
    // The same of whole slices, that have no outside.
    let slice = Slice {
        width: 2,
        height: 1,
        channels: 1,
        image: vec![0.0; 2],
        labels: vec![0, 1],
    };
    let mut quality = Quality::new(2);
    let p = logits.softmax(1, Kind::Float).get(0).narrow(2, 0, 2);
    quality.push(&slice, &p).unwrap();
    let found = quality.found(3, 0.25);
    assert!((found.loss - (0.25 * (1.0 - by_hand) + 0.75 * entropy)).abs() < 1e-6);
    assert_eq!(
        (found.step, found.images, found.dice),
        (3, 1, vec![Some(1.0)])
    );
}

#[test]
fn dice_counts_pixels() {
    let mut overlap = Overlap::new(4);
    for (labelled, found) in [(0, 0), (1, 1), (1, 0), (1, 1), (0, 1), (2, 1)] {
        overlap.push(labelled, found);
    }
    // Three are labelled 1, four found as 1, two both; one is labelled 2 and not found; nothing is 3.
    assert_eq!(overlap.dice(), [Some(4.0 / 7.0), Some(0.0), None]);
    assert_eq!(overlap.mean_dice(), Some(2.0 / 7.0));
    assert_eq!(Overlap::new(2).mean_dice(), None);
}

#[test]
fn folds_are_whole_files_disjoint_and_cover_all() {
    let settings = SegmentationSettings::default();
    for (count, folds) in [(5, 5), (12, 3), (17, 4)] {
        let of =
            |index, seed| split(count, Some(&Split { index, folds, seed }), &settings).unwrap();
        let mut covered = vec![];
        for index in 0..folds {
            let sides = of(index, 1);
            assert_eq!(sides, of(index, 1));
            assert!(sides.held_out.len().abs_diff(count / usize::from(folds)) <= 1);
            let mut all = [sides.training, sides.held_out.clone()].concat();
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            covered.extend(sides.held_out);
        }
        covered.sort_unstable();
        assert_eq!(covered, (0..count).collect::<Vec<_>>());
        assert!((0..20).any(|seed| of(0, seed) != of(0, 1)));
    }
    let refused = split(
        3,
        Some(&Split {
            index: 0,
            folds: 4,
            seed: 1,
        }),
        &settings,
    );
    assert!(refused.unwrap_err().to_string().contains("fold 0 of 4"));
}

#[test]
fn a_fraction_is_held_out_but_never_everything() {
    for (count, part, held) in [
        (1, 0.5, 0),
        (2, 0.2, 1),
        (10, 0.2, 2),
        (10, 0.0, 0),
        (2, 0.9, 1),
    ] {
        let settings = SegmentationSettings {
            held_out: part,
            ..SegmentationSettings::default()
        };
        let sides = split(count, None, &settings).unwrap();
        assert_eq!(
            (sides.training.len(), sides.held_out.len()),
            (count - held, held)
        );
    }
}

/// A slice whose first channel is brightest, and whose label is 1, in its right lower quarter.
fn slice(width: usize, height: usize) -> Slice {
    let quarter = |at: usize| at % width >= width / 2 && at / width >= height / 2;
    let bright = |at: usize| if quarter(at) { 1.0 } else { at as f32 / 1e3 };
    let pixels = width * height;
    Slice {
        width,
        height,
        channels: 2,
        image: (0..pixels)
            .map(bright)
            .chain((0..pixels).map(|at| -bright(at)))
            .collect(),
        labels: (0..pixels).map(|at| u8::from(quarter(at))).collect(),
    }
}

#[test]
fn what_is_not_changed_is_cut_as_it_is() {
    let slice = slice(16, 16);
    let mut random = Random::new(1, "", 0);
    let whole = Augmentation::none(&slice).cut(&mut random, &slice, 16);
    assert_eq!(whole.image, slice.image);
    assert_eq!(
        whole.labels,
        slice
            .labels
            .iter()
            .map(|c| i64::from(*c))
            .collect::<Vec<_>>()
    );
    let mirrored = Augmentation {
        mirrored: (true, false),
        ..Augmentation::none(&slice)
    };
    let mirrored = mirrored.cut(&mut random, &slice, 16);
    for (ours, row) in mirrored.image.chunks(16).zip(slice.image.chunks(16)) {
        assert!(ours.iter().eq(row.iter().rev()));
    }
    // Turned by a quarter, what was at the right is at the top.
    let turned = Augmentation {
        angle: std::f64::consts::FRAC_PI_2,
        ..Augmentation::none(&slice)
    };
    let turned = turned.cut(&mut random, &slice, 16);
    for at in 0..256 {
        let (x, y) = (at % 16, at / 16);
        let from = x * 16 + 15 - y;
        assert_eq!(turned.labels[at], i64::from(slice.labels[from]));
        assert!((turned.image[at] - slice.image[from]).abs() < 1e-5);
    }
    // Larger than the slice: what is around it is 0 and counts in no loss.
    let around = Augmentation::none(&slice).cut(&mut random, &slice, 32);
    let outside = around
        .labels
        .iter()
        .filter(|label| **label == OUTSIDE)
        .count();
    assert_eq!(outside, 32 * 32 - 16 * 16);
    assert_eq!((around.labels[0], around.image[0]), (OUTSIDE, 0.0));
}

#[test]
fn a_sample_is_a_function_of_seed_and_number() {
    let slice = slice(40, 30);
    let sample = |seed, number| {
        let mut random = Random::new(seed, "sample", number);
        let drawn = Augmentation::draw(&mut random, &slice, 24, true);
        (drawn, drawn.cut(&mut random, &slice, 24))
    };
    let mut changed = [0; 6];
    for number in 0..200 {
        let (drawn, patch) = sample(1, number);
        assert_eq!((drawn, patch.clone()), sample(1, number));
        assert_ne!(drawn, sample(2, number).0);
        assert!(patch.image.iter().all(|value| value.is_finite()));
        assert!(patch.labels.iter().any(|label| *label != OUTSIDE));
        let plain = Augmentation::none(&slice);
        for (count, is) in changed.iter_mut().zip([
            drawn.angle != plain.angle,
            drawn.scale != plain.scale,
            drawn.mirrored != plain.mirrored,
            drawn.noise != plain.noise,
            drawn.brightness != plain.brightness || drawn.contrast != plain.contrast,
            drawn.gamma != plain.gamma,
        ]) {
            *count += usize::from(is);
        }
    }
    for (count, (least, most)) in
        changed
            .into_iter()
            .zip([(20, 60), (20, 60), (130, 170), (8, 40), (35, 80), (40, 80)])
    {
        assert!((least..=most).contains(&count), "{changed:?}");
    }
}

#[test]
fn windows_say_what_the_network_says_of_one() {
    let network = UNet::initial(
        Shape {
            channels: 2,
            ..SHAPE
        },
        3,
        Device::Cpu,
    )
    .unwrap();
    // Logits that tell pixels apart.
    let flat = &network.flat * 3.0;
    let network = UNet::of(network.shape(), flat).unwrap();
    for overlapping in [false, true] {
        let windows = Windows {
            size: 16,
            at_once: 3,
            overlapping,
        };
        let mut tick = || std::ops::ControlFlow::Continue(());
        let of = |slice: &Slice, tick: &mut dyn FnMut() -> _| {
            windows
                .probabilities(&network, slice, tick)
                .unwrap()
                .unwrap()
        };
        let one = slice(16, 16);
        let images = Tensor::from_slice(&one.image).view([1, 2, 16, 16]);
        let direct = network
            .forward(&images)
            .unwrap()
            .softmax(1, Kind::Float)
            .get(0);
        assert!(largest(&(of(&one, &mut tick) - direct)) < 1e-6);
        // Larger, and smaller: every pixel has probabilities that sum to 1.
        for (width, height) in [(37, 16), (50, 41), (5, 9), (5, 40)] {
            let found = of(&slice(width, height), &mut tick);
            assert_eq!(found.size(), [3, height as i64, width as i64]);
            let sums = found.sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
            assert!(largest(&(sums - 1.0)) < 1e-5);
        }
        let broken =
            windows.probabilities(&network, &one, &mut || std::ops::ControlFlow::Break(()));
        assert!(broken.unwrap().is_none());
    }
}
