//! What activations look like, estimated from a first sample, so that hyperparameters mean the same for every model.

use super::activations::{ActivationError, ActivationSource};
use super::sequence_order::SequenceOrder;
use serde::{Deserialize, Serialize};
use tch::{Kind, TchError, Tensor};

/// How many activations are looked at.
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

impl Normalization {
    /// Estimates from the first sequences of an order. Also returns the mean of the scaled activations (f32 [d]).
    ///
    /// # Errors
    /// The source's, and [`ActivationError::Empty`].
    pub fn estimate(
        source: &mut dyn ActivationSource,
        order: &SequenceOrder,
        tick: &mut dyn FnMut(u64),
    ) -> Result<(Self, Tensor), ActivationError> {
        let mut parts = Vec::new();
        let mut rows = 0;
        let mut position = 0;
        while rows < SAMPLE && position < source.sequences() {
            let end = source
                .sequences()
                .min(position + source.sequences_per_pass() as u64);
            let ids: Vec<u64> = (position..end).map(|at| order.sequence(at)).collect();
            let part = source.read(&ids)?;
            rows += part.size().first().copied().unwrap_or(0);
            parts.push(part);
            tick(position);
            position = end;
        }
        if rows == 0 {
            return Err(ActivationError::Empty {
                sequences: source.sequences(),
            });
        }
        let sample = Tensor::f_cat(&parts, 0)?;
        Ok(Self::of_sample(&sample)?)
    }

    fn of_sample(sample: &Tensor) -> Result<(Self, Tensor), TchError> {
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
        Ok((
            Self {
                scale,
                largest_norm,
            },
            mean,
        ))
    }

    /// Scales activations and drops outliers (f32 [rows, d]). What is not a number stays, so that it is noticed.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn apply(&self, activations: &Tensor) -> Result<Tensor, TchError> {
        let outliers = row_norms(activations)?.f_gt(self.largest_norm)?;
        let scaled = if outliers.f_any()?.f_int64_value(&[])? == 0 {
            activations.shallow_clone()
        } else {
            let kept = outliers.f_logical_not()?.f_nonzero()?.f_view([-1])?;
            activations.f_index_select(0, &kept)?
        };
        scaled.f_mul_scalar(self.scale)
    }
}

fn row_norms(rows: &Tensor) -> Result<Tensor, TchError> {
    rows.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)
}
