//! How good a network is on slices that it has not seen: loss and Dice coefficients over all pixels of all of them.

use super::loss::SMOOTH;
use super::overlap::Overlap;
use super::slices::Slice;
use super::windows::likeliest;
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::run::journal::SegmentationQuality;

/// A probability that is smaller counts as this one: its logarithm is to be a number.
const LEAST_PROBABILITY: f64 = 1e-30;

/// What has been seen so far.
#[derive(Debug)]
pub struct Quality {
    overlap: Overlap,
    /// For each class: Σ p g, and Σ p + Σ g.
    both: Vec<f64>,
    sum: Vec<f64>,
    /// Σ −ln p of the labelled class.
    entropy: f64,
    pixels: f64,
    slices: u64,
}

impl Quality {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        Self {
            overlap: Overlap::new(classes),
            both: vec![0.0; classes],
            sum: vec![0.0; classes],
            entropy: 0.0,
            pixels: 0.0,
            slices: 0,
        }
    }

    /// Takes up a slice and the probabilities that were found in it (f32 [classes, height, width]).
    ///
    /// # Errors
    /// What libtorch says.
    pub fn push(&mut self, slice: &Slice, probabilities: &Tensor) -> Result<(), TchError> {
        let found = likeliest(probabilities)?;
        for (labelled, found) in slice.labels.iter().zip(&found.classes) {
            self.overlap
                .push(usize::from(*labelled), usize::from(*found));
        }
        let labels = Tensor::f_from_slice(&slice.labels)?
            .f_to_kind(Kind::Int64)?
            .f_view([1, slice.height as i64, slice.width as i64])?;
        let right = probabilities.f_gather(0, &labels, false)?;
        let wrong = right
            .f_clamp_min(LEAST_PROBABILITY)?
            .f_log()?
            .f_sum(Kind::Double)?;
        self.entropy -= wrong.f_double_value(&[])?;
        self.pixels += slice.labels.len() as f64;
        for class in 0..self.both.len() {
            let p = probabilities.f_get(class as i64)?;
            let g = labels.f_get(0)?.f_eq(class as i64)?;
            let sum = |of: &Tensor| of.f_sum(Kind::Double)?.f_double_value(&[]);
            self.both[class] += sum(&p.f_mul(&g)?)?;
            self.sum[class] += sum(&p)? + sum(&g)?;
        }
        self.slices += 1;
        Ok(())
    }

    /// What it comes to, with the loss as in training.
    #[must_use]
    pub fn found(&self, step: u64, dice_weight: f64) -> SegmentationQuality {
        let dice = self.both.iter().zip(&self.sum).skip(1);
        let dice: Vec<f64> = dice
            .map(|(both, sum)| (2.0 * both + SMOOTH) / (sum + SMOOTH))
            .collect();
        let soft = dice.iter().sum::<f64>() / dice.len().max(1) as f64;
        let entropy = self.entropy / self.pixels.max(1.0);
        SegmentationQuality {
            step,
            images: self.slices,
            loss: dice_weight * (1.0 - soft) + (1.0 - dice_weight) * entropy,
            dice: self.overlap.dice(),
            mean_dice: self.overlap.mean_dice(),
        }
    }
}
