//! What activations look like, estimated from a first sample, so that hyperparameters mean the same for every model.

use super::activations::{ActivationError, ActivationSource};
use crate::random_order::RandomOrder;
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

/// How many activations of each stream are looked at.
const SAMPLE: i64 = 8_192;

/// An activation whose norm is more than so many times the median is an outlier (the attention sinks of a language model are a hundred times
/// the median), and not trained on.
const OUTLIER: f64 = 10.0;

/// The scale that makes E‖x‖ = √d, and where outliers begin.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Training sees `scale · x`.
    pub scale: f64,
    /// Raw activations with a larger norm are left out.
    pub largest_norm: f64,
}

/// What is known of a stream before training.
#[derive(Debug)]
pub struct Estimate {
    /// How it is scaled.
    pub normalization: Normalization,
    /// f32 [d]: the mean of the scaled activations.
    pub mean: Tensor,
}

impl Normalization {
    /// Estimates for each stream from the first passes of an order. Holds 8,192 activations of each stream.
    ///
    /// # Errors
    /// The source's, and [`ActivationError::Empty`].
    pub fn estimate(
        source: &mut dyn ActivationSource,
        order: &RandomOrder,
        tick: &mut dyn FnMut(u64),
    ) -> Result<Vec<Estimate>, ActivationError> {
        let mut samples: Vec<Vec<Tensor>> = Vec::new();
        let mut rows = 0;
        let mut position = 0;
        while rows < SAMPLE && position < order.count() {
            let streams = source.read(order.at(position))?;
            rows += streams
                .first()
                .and_then(|stream| stream.size().first().copied())
                .unwrap_or(0);
            samples.resize_with(streams.len(), Vec::new);
            for (parts, part) in samples.iter_mut().zip(streams) {
                parts.push(part);
            }
            tick(position);
            position += 1;
        }
        if rows == 0 {
            return Err(ActivationError::Empty {
                passes: order.count(),
            });
        }
        let estimates = samples
            .iter()
            .map(|parts| Self::of_sample(&Tensor::f_cat(parts, 0)?.f_to_kind(Kind::Float)?));
        Ok(estimates.collect::<Result<_, TchError>>()?)
    }

    fn of_sample(sample: &Tensor) -> Result<Estimate, TchError> {
        let d = sample.size2()?.1 as f64;
        let norms = row_norms(sample)?;
        let largest_norm = OUTLIER * norms.f_median()?.f_double_value(&[])?;
        let kept = norms.f_le(largest_norm)?.f_nonzero()?.f_view([-1])?;
        let norm = norms
            .f_index_select(0, &kept)?
            .f_mean(Kind::Double)?
            .f_double_value(&[])?;
        // Activations that are all zero, or not numbers, get no scale of their own; the first step will say what is wrong.
        let scale = if norm.is_normal() {
            d.sqrt() / norm
        } else {
            1.0
        };
        let mean = sample
            .f_index_select(0, &kept)?
            .f_mean_dim([0i64].as_slice(), false, Kind::Double)?
            .f_mul_scalar(scale)?
            .f_to_kind(Kind::Float)?;
        Ok(Estimate {
            normalization: Self {
                scale,
                largest_norm,
            },
            mean,
        })
    }

    /// Which raw activations ([rows, d]) are outliers: bool [rows]. What is not a number is none, so that it is noticed.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn outliers(&self, activations: &Tensor) -> Result<Tensor, TchError> {
        row_norms(&activations.f_to_kind(Kind::Float)?)?.f_gt(self.largest_norm)
    }
}

fn row_norms(rows: &Tensor) -> Result<Tensor, TchError> {
    rows.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)
}
