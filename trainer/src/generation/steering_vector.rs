//! What steering adds to the residual stream.

use super::GenerationError;
use crate::language_model::{HookPoint, Site};
use tch::{Device, Kind, TchError, Tensor};

/// A direction that is added to the residual stream after a layer, at every position: `h += Σ strength · W_dec[latent]`
/// (activation addition, Turner et al. 2023, arXiv:2308.10248, with an autoencoder's directions as in Templeton et al. 2024).
#[derive(Debug)]
pub struct SteeringVector {
    point: HookPoint,
    /// f32 `[hidden]`.
    direction: Tensor,
}

impl SteeringVector {
    /// Nothing yet, after `layer` of a model that is `width` wide.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn new(layer: usize, width: i64, device: Device) -> Result<Self, GenerationError> {
        Ok(Self {
            point: HookPoint {
                layer,
                site: Site::Residual,
            },
            direction: Tensor::f_zeros([width], (Kind::Float, device)).map_err(failed)?,
        })
    }

    /// Adds `strength · direction` (f32 `[hidden]`).
    ///
    /// # Errors
    /// What libtorch says, a direction of another width included.
    pub fn add(&mut self, strength: f64, direction: &Tensor) -> Result<(), GenerationError> {
        let add = || -> Result<Tensor, TchError> {
            direction
                .f_to_device(self.direction.device())?
                .f_mul_scalar(strength)?
                .f_add(&self.direction)
        };
        self.direction = add().map_err(failed)?;
        Ok(())
    }

    /// The activation that the pass goes on with at a hook.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn intervene(
        &self,
        point: HookPoint,
        activation: &Tensor,
    ) -> Result<Option<Tensor>, TchError> {
        if point != self.point {
            return Ok(None);
        }
        // In f32: of a small step much would be lost in bf16 before it is added.
        let steered = activation
            .f_to_kind(Kind::Float)?
            .f_add(&self.direction)?
            .f_to_kind(activation.kind())?;
        Ok(Some(steered))
    }
}

fn failed(source: TchError) -> GenerationError {
    GenerationError::Torch {
        doing: "added up steering directions",
        source,
    }
}
