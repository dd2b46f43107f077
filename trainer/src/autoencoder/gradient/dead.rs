//! What a loss over dead latents adds to the gradient.

use crate::autoencoder::{parameters::Parameters, workspace::Workspace};
use tch::{Kind, TchError, Tensor};

/// A loss of a batch and its gradient for the dead latents D.
#[derive(Debug)]
pub(super) struct DeadGradient {
    pub loss: f64,
    /// i64 [D]: which latents.
    pub dead: Tensor,
    /// f32 [b, D]: gradient of their pre-activations.
    pub latent_gradient: Tensor,
    /// f32 [D, d_out].
    pub decoder_gradient: Tensor,
}

/// The encoder's part in dead latents: f32 [b, D] pre-activations, and the decoder's rows (f32 [D, d_out]).
pub(super) fn of_dead(
    dead: &Tensor,
    workspace: &Workspace,
    parameters: &Parameters,
) -> Result<(Tensor, Tensor), TchError> {
    let encoder = parameters.encoder.f_index_select(0, dead)?;
    let bias = parameters.encoder_bias.f_index_select(0, dead)?;
    Ok((
        bias.f_addmm(&workspace.centred, &encoder.f_tr()?)?,
        parameters.decoder.f_index_select(0, dead)?,
    ))
}

impl DeadGradient {
    /// Adds to the gradients of the encoder, its bias and the decoder.
    pub(super) fn add_to(
        &self,
        gradients: &mut Parameters,
        centred: &Tensor,
    ) -> Result<(), TchError> {
        let encoder = self.latent_gradient.f_tr()?.f_mm(centred)?;
        let bias = self
            .latent_gradient
            .f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float)?;
        for (into, of) in [
            (&mut gradients.encoder, &encoder),
            (&mut gradients.encoder_bias, &bias),
            (&mut gradients.decoder, &self.decoder_gradient),
        ] {
            let _ = into.f_index_add_(0, &self.dead, of)?;
        }
        Ok(())
    }
}
