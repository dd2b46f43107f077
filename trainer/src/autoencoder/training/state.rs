//! All that an exact continuation of a training needs, as named tensors.

use super::Training;
use crate::autoencoder::parameters::{Parameters, Shape};
use crate::tensor_file::TensorFileError;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;

const PARAMETERS: &str = "parameters";
const FIRST_MOMENT: &str = "first_moment";
const SECOND_MOMENT: &str = "second_moment";
const SINCE_FIRED: &str = "since_fired";
const FIRINGS: &str = "firings";
const COUNTED_ACTIVATIONS: &str = "counted_activations";
/// Not a number: there has been none.
const CUT: &str = "cut";

impl Training {
    /// Everything that changes, apart from the number of steps done.
    #[must_use]
    pub fn tensors(&self) -> Vec<(&'static str, Tensor)> {
        vec![
            (PARAMETERS, self.parameters.flat.shallow_clone()),
            (FIRST_MOMENT, self.optimizer.first_moment.shallow_clone()),
            (SECOND_MOMENT, self.optimizer.second_moment.shallow_clone()),
            (SINCE_FIRED, self.since_fired.shallow_clone()),
            (FIRINGS, self.firings.counts.shallow_clone()),
            (
                COUNTED_ACTIVATIONS,
                Tensor::from_slice(&[self.firings.activations]),
            ),
            (CUT, Tensor::from_slice(&[self.cut.unwrap_or(f64::NAN)])),
        ]
    }

    /// A training after `step` steps, of what [`Training::tensors`] gave: `read` finds a tensor by its name, of the shape that it must
    /// have.
    ///
    /// # Errors
    /// What `read` says, and libtorch when there is no memory.
    pub fn restore(
        hyperparameters: &Hyperparameters,
        shape: Shape,
        kind: Kind,
        step: u64,
        device: Device,
        read: impl Fn(&str, &[i64]) -> Result<Tensor, TensorFileError>,
    ) -> Result<Self, TensorFileError> {
        let tensor = |name: &str, size: i64| -> Result<Tensor, TensorFileError> {
            Ok(read(name, &[size])?.f_to_device(device)?)
        };
        let count = shape.count();
        let parameters = Parameters::of(tensor(PARAMETERS, count)?, shape)?;
        let mut training = Self::new(hyperparameters, parameters, kind)?;
        let second = training.optimizer.second_moment.numel() as i64;
        training.optimizer.first_moment = tensor(FIRST_MOMENT, count)?;
        training.optimizer.second_moment = tensor(SECOND_MOMENT, second)?;
        training.since_fired = tensor(SINCE_FIRED, shape.d_sae)?;
        training.firings.counts = tensor(FIRINGS, shape.d_sae)?;
        training.firings.activations = read(COUNTED_ACTIVATIONS, &[1])?.f_int64_value(&[0])?;
        let cut = read(CUT, &[1])?.f_double_value(&[0])?;
        training.cut = Some(cut).filter(|cut| !cut.is_nan());
        training.step = step;
        Ok(training)
    }
}
