//! The layer's multilayer perceptron.

use super::{Activation, linear::Linear};
use tch::{TchError, Tensor};

/// An MLP: `down(activation(up(x)))`, or gated `down(activation(gate(x)) · up(x))` (Shazeer 2020, arXiv:2002.05202). Gate and up
/// are two products, because what follows reads their results faster apart.
pub(super) struct Mlp {
    /// `[intermediate, hidden]`
    pub(super) gate: Option<Linear>,
    /// `[intermediate, hidden]`
    pub(super) up: Linear,
    /// `[hidden, intermediate]`
    pub(super) down: Linear,
    pub(super) activation: Activation,
}

impl Mlp {
    /// Of `input` (`[batch, length, hidden]`).
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let inner = match &self.gate {
            Some(gate) => self
                .activation
                .apply(gate.forward(input)?)?
                .f_mul_(&self.up.forward(input)?)?,
            None => self.activation.apply(self.up.forward(input)?)?,
        };
        self.down.forward(&inner)
    }
}
