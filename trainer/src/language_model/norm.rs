//! Normalisation of the residual stream.

use tch::{Kind, TchError, Tensor};

/// A norm, in f32 whatever the kind of its input.
pub(super) enum Norm {
    /// RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467).
    Rms {
        /// `[hidden]`
        weight: Tensor,
        /// Added to the mean square.
        epsilon: f64,
    },
}

impl Norm {
    /// `input` (`[…, hidden]`), normalised.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Rms { weight, epsilon } => {
                input.f_rms_norm(weight.size(), Some(weight), *epsilon)
            }
        }
    }

    /// `directions` (`[n, hidden]`) through the part of the norm that is linear, in f32: what is left of it when the size of
    /// the residual stream is taken as given.
    pub(super) fn linear_part(&self, directions: &Tensor) -> Result<Tensor, TchError> {
        let directions = directions.f_to_kind(Kind::Float)?;
        match self {
            Self::Rms { weight, .. } => directions.f_mul(&weight.f_to_kind(Kind::Float)?),
        }
    }
}
