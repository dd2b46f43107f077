//! The weights of an autoencoder in training: one flat f32 vector, so that the optimizer passes over it once, and views of it.

use super::random::Random;
use tch::{Device, Kind, TchError, Tensor};

/// Euclidean norm of a decoder row before training.
const INITIAL_DECODER_NORM: f64 = 0.1;

/// `n` latents over activations of width `d`, or anything of the same shape (gradients).
#[derive(Debug)]
pub struct Parameters {
    /// All of it: f32 [2·n·d + n + d].
    pub flat: Tensor,
    /// [n, d]: row i reads latent i (the transpose of `W_enc`).
    pub encoder: Tensor,
    /// [n].
    pub encoder_bias: Tensor,
    /// [n, d]: row i is what latent i writes (`W_dec`).
    pub decoder: Tensor,
    /// [d].
    pub decoder_bias: Tensor,
}

impl Parameters {
    /// How many numbers `n` latents of width `d` have.
    #[must_use]
    pub fn count(d: i64, n: i64) -> i64 {
        2 * n * d + n + d
    }

    /// Views of a flat f32 vector of [`Parameters::count`] numbers.
    ///
    /// # Errors
    /// When `flat` has another size.
    pub fn of(flat: Tensor, d: i64, n: i64) -> Result<Self, TchError> {
        let weights = n * d;
        Ok(Self {
            encoder: flat.f_narrow(0, 0, weights)?.f_view([n, d])?,
            decoder: flat.f_narrow(0, weights, weights)?.f_view([n, d])?,
            encoder_bias: flat.f_narrow(0, 2 * weights, n)?,
            decoder_bias: flat.f_narrow(0, 2 * weights + n, d)?,
            flat,
        })
    }

    /// All zero.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn zeros(d: i64, n: i64, device: Device) -> Result<Self, TchError> {
        let flat = Tensor::f_zeros([Self::count(d, n)], (Kind::Float, device))?;
        Self::of(flat, d, n)
    }

    /// Before training: decoder rows of random direction and norm 0.1, the encoder their transpose, no encoder bias, and the mean
    /// activation (f32 [d]) as decoder bias.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn initial(d: i64, n: i64, seed: u64, mean: &Tensor) -> Result<Self, TchError> {
        let mut parameters = Self::zeros(d, n, mean.device())?;
        let mut random = Random::new(seed, "decoder", 0);
        let mut rows = Vec::with_capacity((n * d) as usize);
        for _ in 0..n {
            let row: Vec<f64> = (0..d).map(|_| random.normal()).collect();
            let norm = row
                .iter()
                .map(|x| x * x)
                .sum::<f64>()
                .sqrt()
                .max(f64::MIN_POSITIVE);
            rows.extend(row.iter().map(|x| (x * INITIAL_DECODER_NORM / norm) as f32));
        }
        let rows = Tensor::f_from_slice(&rows)?.f_view([n, d])?;
        parameters.encoder.f_copy_(&rows)?;
        parameters.decoder.f_copy_(&rows)?;
        parameters.decoder_bias.f_copy_(mean)?;
        Ok(parameters)
    }
}
