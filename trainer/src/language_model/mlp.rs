//! The layer's multilayer perceptron.

use super::linear::Linear;
use tch::{TchError, Tensor};

/// An MLP.
pub(super) enum Mlp {
    /// `down(silu(gate(x)) · up(x))`: SwiGLU (Shazeer 2020, arXiv:2002.05202). Gate and up are two products, because what
    /// follows reads their results faster apart.
    Gated {
        /// `[intermediate, hidden]`
        gate: Linear,
        /// `[intermediate, hidden]`
        up: Linear,
        /// `[hidden, intermediate]`
        down: Linear,
    },
}

impl Mlp {
    /// Of `input` (`[batch, length, hidden]`).
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Gated { gate, up, down } => {
                let gated = gate
                    .forward(input)?
                    .f_silu_()?
                    .f_mul_(&up.forward(input)?)?;
                down.forward(&gated)
            }
        }
    }
}
