//! The optimizers, with a state that can be saved: tch's own cannot.

use tch::{Device, Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::{Hyperparameters, Optimizer as Which};

/// Added to the root of the second moment (PyTorch's default).
const EPSILON: f64 = 1e-8;

/// Below it a step changes nothing that f32 can hold, and its reciprocal would overflow.
const SMALLEST_RATE: f64 = 1e-30;

/// How many numbers are updated at a time on a CPU: small enough for its caches.
const CHUNK: i64 = 1 << 20;

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// By which formulas.
    pub which: Which,
    /// Decay of the first moment (momentum, with SGD).
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Decay of the weights.
    pub weight_decay: f64,
}

impl From<&Hyperparameters> for Rule {
    fn from(hyperparameters: &Hyperparameters) -> Self {
        Self {
            which: hyperparameters.optimizer,
            beta1: hyperparameters.beta1,
            beta2: hyperparameters.beta2,
            weight_decay: hyperparameters.weight_decay,
        }
    }
}

/// Adam, AdamW or SGD with momentum, as PyTorch defines them, over a flat vector.
#[derive(Debug)]
pub struct Optimizer {
    rule: Rule,
    /// First moment (momentum, with SGD): f32, as long as the parameters.
    pub first_moment: Tensor,
    /// Second moment: f32, as long as the parameters (empty with SGD).
    pub second_moment: Tensor,
    scratch: Tensor,
}

impl Optimizer {
    /// An optimizer of these weights (f32 [n]) that has not stepped yet.
    ///
    /// # Errors
    /// When there is no memory for its state.
    pub fn new(rule: Rule, weights: &Tensor) -> Result<Self, TchError> {
        let device = weights.device();
        let count = weights.numel() as i64;
        let second = if rule.which == Which::Sgd { 0 } else { count };
        let chunk = if device == Device::Cpu {
            CHUNK.min(count)
        } else {
            count
        };
        Ok(Self {
            rule,
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
        weights: &Tensor,
        gradients: &Tensor,
        learning_rate: f64,
        step: u64,
    ) -> Result<(), TchError> {
        let count = weights.numel() as i64;
        let chunk = self.scratch.numel() as i64;
        let mut at = 0;
        while at < count {
            let len = chunk.min(count - at);
            let weights = weights.f_narrow(0, at, len)?;
            let gradient = gradients.f_narrow(0, at, len)?;
            let first = self.first_moment.f_narrow(0, at, len)?;
            match self.rule.which {
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

    fn sgd(
        &self,
        mut weights: Tensor,
        mut gradient: Tensor,
        mut momentum: Tensor,
        learning_rate: f64,
    ) -> Result<(), TchError> {
        if self.rule.weight_decay != 0.0 {
            let decay = weights.f_mul_scalar(self.rule.weight_decay)?;
            let _ = gradient.f_add_(&decay)?;
        }
        let _ = momentum.f_mul_scalar_(self.rule.beta1)?;
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
        if self.rule.weight_decay != 0.0 {
            if self.rule.which == Which::AdamW {
                let _ = weights.f_mul_scalar_(1.0 - learning_rate * self.rule.weight_decay)?;
            } else {
                let decay = weights.f_mul_scalar_out(&scratch, self.rule.weight_decay)?;
                let _ = gradient.f_add_(&decay)?;
            }
        }
        let _ = first.f_lerp_(&gradient, 1.0 - self.rule.beta1)?;
        let _ = gradient.f_mul_scalar_out(&scratch, (1.0 - self.rule.beta2).sqrt())?;
        let _ = second.f_mul_scalar_(self.rule.beta2)?;
        let _ = second.f_addcmul_(&scratch, &scratch)?;
        let steps = i32::try_from(step).unwrap_or(i32::MAX);
        let rate = learning_rate / (1.0 - self.rule.beta1.powi(steps));
        if rate > SMALLEST_RATE {
            // addcdiv_ takes no factor here, so −η/(1−β₁ᵗ) goes into the divisor.
            let _ = second.f_sqrt_out(&scratch)?;
            let root = (1.0 - self.rule.beta2.powi(steps)).sqrt();
            let _ = scratch.f_mul_scalar_(-1.0 / (root * rate))?;
            let _ = scratch.f_add_scalar_(-EPSILON / rate)?;
            let _ = weights.f_addcdiv_(&first, &scratch)?;
        }
        Ok(())
    }
}

/// Scales a gradient down to a Euclidean norm (as PyTorch's `clip_grad_norm_` does).
///
/// # Errors
/// What libtorch says.
pub fn clip(gradient: &mut Tensor, largest: f64) -> Result<(), TchError> {
    let norm = gradient
        .f_norm_scalaropt_dtype(2.0, Kind::Float)?
        .f_double_value(&[])?;
    let scale = largest / (norm + 1e-6);
    if scale < 1.0 {
        let _ = gradient.f_mul_scalar_(scale)?;
    }
    Ok(())
}
