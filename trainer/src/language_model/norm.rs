//! Normalisation of the residual stream.

use tch::{Kind, TchError, Tensor};

/// A norm, in f32 whatever the kind of its input.
pub(super) struct Norm {
    /// `[hidden]`
    pub(super) weight: Tensor,
    /// Of a LayerNorm (Ba et al. 2016, arXiv:1607.06450); an RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467) has none.
    pub(super) bias: Option<Tensor>,
    /// Added to the variance or the mean square.
    pub(super) epsilon: f64,
}

impl Norm {
    /// `input` (`[…, hidden]`), normalised.
    pub(super) fn forward(&self, input: &Tensor) -> Result<Tensor, TchError> {
        let shape = self.weight.size();
        match &self.bias {
            None => input.f_rms_norm(shape, Some(&self.weight), self.epsilon),
            Some(bias) => {
                input.f_layer_norm(shape, Some(&self.weight), Some(bias), self.epsilon, false)
            }
        }
    }

    /// `directions` (`[n, hidden]`) through the part of the norm that is linear, in f32: what is left of it when the size of
    /// the residual stream is taken as given.
    pub(super) fn linear_part(&self, directions: &Tensor) -> Result<Tensor, TchError> {
        let directions = directions.f_to_kind(Kind::Float)?;
        let centred = match &self.bias {
            None => directions,
            Some(_) => {
                let mean = directions.f_mean_dim([-1].as_slice(), true, Kind::Float)?;
                directions.f_sub(&mean)?
            }
        };
        centred.f_mul(&self.weight.f_to_kind(Kind::Float)?)
    }
}
