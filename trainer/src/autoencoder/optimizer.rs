//! The optimizers, with a state that can be saved: tch's own cannot.

use super::parameters::{Parameters, Shape};
use tch::{Device, Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::{Hyperparameters, Optimizer as Which};

/// Added to the root of the second moment (PyTorch's default).
const EPSILON: f64 = 1e-8;

/// Below it a step changes nothing that f32 can hold, and its reciprocal would overflow.
const SMALLEST_RATE: f64 = 1e-30;

/// How many numbers are updated at a time on a CPU: small enough for its caches.
const CHUNK: i64 = 1 << 20;

/// Adam, AdamW or SGD with momentum, as PyTorch defines them, over a flat vector.
#[derive(Debug)]
pub struct Optimizer {
    which: Which,
    beta1: f64,
    beta2: f64,
    weight_decay: f64,
    /// First moment (momentum, with SGD): f32, as long as the parameters.
    pub first_moment: Tensor,
    /// Second moment: f32, as long as the parameters (empty with SGD).
    pub second_moment: Tensor,
    scratch: Tensor,
}

impl Optimizer {
    /// An optimizer that has not stepped yet.
    ///
    /// # Errors
    /// When there is no memory for its state.
    pub fn new(
        hyperparameters: &Hyperparameters,
        parameters: &Parameters,
    ) -> Result<Self, TchError> {
        let device = parameters.flat.device();
        let count = parameters.flat.numel() as i64;
        let second = if hyperparameters.optimizer == Which::Sgd {
            0
        } else {
            count
        };
        let chunk = if device == Device::Cpu {
            CHUNK.min(count)
        } else {
            count
        };
        Ok(Self {
            which: hyperparameters.optimizer,
            beta1: hyperparameters.beta1,
            beta2: hyperparameters.beta2,
            weight_decay: hyperparameters.weight_decay,
            first_moment: Tensor::f_zeros([count], (Kind::Float, device))?,
            second_moment: Tensor::f_zeros([second], (Kind::Float, device))?,
            scratch: Tensor::f_empty([chunk], (Kind::Float, device))?,
        })
    }

    /// Step number `step` (from 1), in place. `gradients` may be overwritten.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn step(
        &mut self,
        parameters: &Parameters,
        gradients: &Parameters,
        learning_rate: f64,
        step: u64,
    ) -> Result<(), TchError> {
        let count = parameters.flat.numel() as i64;
        let chunk = self.scratch.numel() as i64;
        let mut at = 0;
        while at < count {
            let len = chunk.min(count - at);
            let weights = parameters.flat.f_narrow(0, at, len)?;
            let gradient = gradients.flat.f_narrow(0, at, len)?;
            let first = self.first_moment.f_narrow(0, at, len)?;
            match self.which {
                Which::Sgd => self.sgd(weights, gradient, first, learning_rate)?,
                Which::Adam | Which::AdamW => {
                    let second = self.second_moment.f_narrow(0, at, len)?;
                    let scratch = self.scratch.f_narrow(0, 0, len)?;
                    self.adam(
                        weights,
                        gradient,
                        first,
                        second,
                        scratch,
                        learning_rate,
                        step,
                    )?;
                }
            }
            at += len;
        }
        Ok(())
    }

    /// Forgets what it remembers of some latents (i64), whose weights are new.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn forget(&mut self, shape: Shape, latents: &Tensor) -> Result<(), TchError> {
        for moment in [&self.first_moment, &self.second_moment] {
            if moment.numel() > 0 {
                let mut of = Parameters::of(moment.shallow_clone(), shape)?;
                for rows in of.by_latent() {
                    let _ = rows.f_index_fill_(0, latents, 0.0)?;
                }
            }
        }
        Ok(())
    }

    fn sgd(
        &self,
        mut weights: Tensor,
        mut gradient: Tensor,
        mut momentum: Tensor,
        learning_rate: f64,
    ) -> Result<(), TchError> {
        if self.weight_decay != 0.0 {
            let decay = weights.f_mul_scalar(self.weight_decay)?;
            let _ = gradient.f_add_(&decay)?;
        }
        let _ = momentum.f_mul_scalar_(self.beta1)?;
        let _ = momentum.f_add_(&gradient)?;
        let change = momentum.f_mul_scalar_out(&gradient, learning_rate)?;
        let _ = weights.f_sub_(&change)?;
        Ok(())
    }

    // m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  w ← w − η/(1−β₁ᵗ) · m / (√v/√(1−β₂ᵗ) + ε)
    #[allow(clippy::too_many_arguments)]
    fn adam(
        &self,
        mut weights: Tensor,
        mut gradient: Tensor,
        mut first: Tensor,
        mut second: Tensor,
        mut scratch: Tensor,
        learning_rate: f64,
        step: u64,
    ) -> Result<(), TchError> {
        if self.weight_decay != 0.0 {
            if self.which == Which::AdamW {
                let _ = weights.f_mul_scalar_(1.0 - learning_rate * self.weight_decay)?;
            } else {
                let decay = weights.f_mul_scalar_out(&scratch, self.weight_decay)?;
                let _ = gradient.f_add_(&decay)?;
            }
        }
        let _ = first.f_lerp_(&gradient, 1.0 - self.beta1)?;
        let _ = gradient.f_mul_scalar_out(&scratch, (1.0 - self.beta2).sqrt())?;
        let _ = second.f_mul_scalar_(self.beta2)?;
        let _ = second.f_addcmul_(&scratch, &scratch)?;
        let steps = i32::try_from(step).unwrap_or(i32::MAX);
        let rate = learning_rate / (1.0 - self.beta1.powi(steps));
        if rate > SMALLEST_RATE {
            // addcdiv_ takes no factor here, so −η/(1−β₁ᵗ) goes into the divisor.
            let _ = second.f_sqrt_out(&scratch)?;
            let root = (1.0 - self.beta2.powi(steps)).sqrt();
            let _ = scratch.f_mul_scalar_(-1.0 / (root * rate))?;
            let _ = scratch.f_add_scalar_(-EPSILON / rate)?;
            let _ = weights.f_addcdiv_(&first, &scratch)?;
        }
        Ok(())
    }
}
