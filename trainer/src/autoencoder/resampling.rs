//! Resampling (Bricken et al. 2023, appendix "Neuron Resampling"): dead latents are pointed anew at what is reconstructed badly.
//!
//! Each dead latent takes an activation of the batch, drawn with a probability proportional to the square of its loss (without
//! replacement: two latents that begin alike stay alike). Its decoder row becomes that target's direction (less the decoder's bias), at the
//! mean norm of living latents' rows; its encoder row the direction of what the encoder reads of it, at a fifth of the living rows' mean
//! norm; its bias 0. A transcoder, which does not take a bias from what it reads, takes the batch's mean instead, with a bias
//! that makes up for it. The draw is a function of seed and step.

use super::parameters::{Parameters, initial_threshold};
use crate::random::Random;
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;

/// The norm of a resampled encoder row, of that of living rows.
const ENCODER_NORM: f64 = 0.2;

/// Resamples as many `dead` latents (bool [n]) as the batch has activations to give; returns which (i64). `data` is what was read and what
/// was to be made of it (f32 [b, d_in] and [b, d_out]), `row_errors` the norms of its residuals (f32 [b]).
///
/// # Errors
/// What libtorch says.
pub fn resample(
    hyperparameters: &Hyperparameters,
    step: u64,
    dead: &Tensor,
    parameters: &mut Parameters,
    data: (&Tensor, &Tensor),
    row_errors: &Tensor,
) -> Result<Tensor, TchError> {
    let device = dead.device();
    let latents = dead.f_nonzero()?.f_view([-1])?;
    let rows = draw(hyperparameters.seed, step, latents.numel(), row_errors)?;
    let latents = latents.f_narrow(0, 0, rows.len() as i64)?;
    if rows.is_empty() {
        return Ok(latents);
    }
    let rows = Tensor::f_from_slice(&rows)?.f_to_device(device)?;
    let (batch, target) = data;
    let centre = if parameters.shape.centres_input() {
        parameters.decoder_bias.shallow_clone()
    } else {
        batch.f_mean_dim([0i64].as_slice(), false, Kind::Float)?
    };
    let read = batch.f_index_select(0, &rows)?.f_sub(&centre)?;
    let written = target
        .f_index_select(0, &rows)?
        .f_sub(&parameters.decoder_bias)?;
    let alive = dead.f_logical_not()?;
    let encoder = unit(&read)?
        .f_mul(&mean_norm(&parameters.encoder, &alive)?)?
        .f_mul_scalar(ENCODER_NORM)?;
    let decoder = unit(&written)?.f_mul(&mean_norm(&parameters.decoder, &alive)?)?;
    let bias = if parameters.shape.centres_input() {
        latents.f_zeros_like()?.f_to_kind(Kind::Float)?
    } else {
        encoder.f_mv(&centre)?.f_neg()?
    };
    let _ = parameters.encoder.f_index_copy_(0, &latents, &encoder)?;
    let _ = parameters.decoder.f_index_copy_(0, &latents, &decoder)?;
    let _ = parameters.encoder_bias.f_index_copy_(0, &latents, &bias)?;
    if let Some(threshold) = &mut parameters.threshold {
        let initial = initial_threshold(hyperparameters);
        let _ = threshold.f_index_fill_(0, &latents, initial)?;
    }
    if let Some(magnitude) = &mut parameters.magnitude {
        let _ = magnitude.log_scale.f_index_fill_(0, &latents, 0.0)?;
        let _ = magnitude.bias.f_index_copy_(0, &latents, &bias)?;
    }
    Ok(latents)
}

/// At most `count` rows, each once, with probabilities proportional to the fourth power of the residual's norm (the square of the loss), by
/// the keys of Efraimidis and Spirakis (2006): the largest of ln(u)/w.
fn draw(seed: u64, step: u64, count: usize, row_errors: &Tensor) -> Result<Vec<i64>, TchError> {
    let errors: Vec<f64> = Vec::try_from(row_errors.f_to_kind(Kind::Double)?)?;
    let mut random = Random::new(seed, "resampling", step);
    let mut keys: Vec<(f64, i64)> = errors
        .iter()
        .zip(0..)
        .map(|(error, row)| (random.uniform().ln() / error.powi(4), row))
        .filter(|(key, _)| key.is_finite())
        .collect();
    keys.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    keys.truncate(count);
    Ok(keys.into_iter().map(|(_, row)| row).collect())
}

/// Rows of norm 1 (a row of zeros stays one).
fn unit(rows: &Tensor) -> Result<Tensor, TchError> {
    let norms = rows.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), true)?;
    rows.f_div(&norms.f_clamp_min(f64::from(f32::MIN_POSITIVE))?)
}

/// The mean norm of the rows that are alive; of all, where none is.
fn mean_norm(rows: &Tensor, alive: &Tensor) -> Result<Tensor, TchError> {
    let norms = rows.f_norm_scalaropt_dim(2.0, [1i64].as_slice(), false)?;
    let living = norms.f_masked_select(alive)?;
    if living.numel() == 0 {
        norms.f_mean(Kind::Float)
    } else {
        living.f_mean(Kind::Float)
    }
}
