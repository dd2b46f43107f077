//! The weights of an autoencoder in training: one flat f32 vector, so that the optimizer passes over it once, and views of it.

use super::gradient::Activation;
use crate::random::Random;
use tch::{Device, Kind, TchError, Tensor};
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::training::EncoderType;

/// Euclidean norm of a decoder row (and of an encoder's) before training.
const INITIAL_NORM: f64 = 0.1;

/// JumpReLU's threshold before training, where the hyperparameters do not say.
const JUMP_THRESHOLD: f64 = 0.001;

/// Which numbers an autoencoder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `sparse`: reconstructs what it reads. `transcoder`: computes what a module makes of it. `skip`: the same beside a linear map.
    pub encoder_type: EncoderType,
    /// What makes latents of pre-activations.
    pub activation: Activation,
    /// Width of what it reads.
    pub d_in: i64,
    /// Width of what it writes (`sparse`: the same).
    pub d_out: i64,
    /// Latents.
    pub d_sae: i64,
}

impl Shape {
    /// What hyperparameters ask for at activations of these widths.
    #[must_use]
    pub fn of(
        hyperparameters: &Hyperparameters,
        encoder_type: EncoderType,
        d_in: i64,
        d_out: i64,
    ) -> Self {
        Self {
            encoder_type,
            activation: Activation::of(hyperparameters),
            d_in,
            d_out,
            d_sae: d_in * i64::from(hyperparameters.expansion_factor),
        }
    }

    /// A ReLU autoencoder that reconstructs what it reads.
    #[must_use]
    pub fn sparse(d: i64, d_sae: i64) -> Self {
        Self {
            encoder_type: EncoderType::Sparse,
            activation: Activation::Relu,
            d_in: d,
            d_out: d,
            d_sae,
        }
    }

    /// Whether the decoder's bias is taken from what is read: where both are the same activation.
    #[must_use]
    pub fn centres_input(&self) -> bool {
        self.encoder_type == EncoderType::Sparse
    }

    /// How many numbers it has.
    #[must_use]
    pub fn count(&self) -> i64 {
        let vectors = match self.activation {
            Activation::Relu | Activation::TopK(_) | Activation::BatchTopK(_) => 1,
            Activation::JumpRelu => 2,
            Activation::Gated => 3,
        };
        let skip = match self.encoder_type {
            EncoderType::Skip => self.d_in * self.d_out,
            EncoderType::Sparse | EncoderType::Transcoder => 0,
        };
        self.d_sae * (self.d_in + self.d_out + vectors) + self.d_out + skip
    }
}

/// What gated latents have beside their gate's bias, which is the encoder's.
#[derive(Debug)]
pub struct Magnitude {
    /// [n]: logarithm of how much larger than the gate's the weights of the magnitude are (`r_mag`).
    pub log_scale: Tensor,
    /// [n]: `b_mag`.
    pub bias: Tensor,
}

/// The numbers of an autoencoder, or anything of the same shape (gradients).
#[derive(Debug)]
pub struct Parameters {
    /// Which there are.
    pub shape: Shape,
    /// All of it: f32 [[`Shape::count`]].
    pub flat: Tensor,
    /// [n, d_in]: row i reads latent i (the transpose of `W_enc`).
    pub encoder: Tensor,
    /// [n]; of gated latents, their gates' (`b_gate`).
    pub encoder_bias: Tensor,
    /// [n, d_out]: row i is what latent i writes (`W_dec`).
    pub decoder: Tensor,
    /// [d_out].
    pub decoder_bias: Tensor,
    /// JumpReLU: [n], what a pre-activation must exceed.
    pub threshold: Option<Tensor>,
    /// Gated latents: their magnitudes.
    pub magnitude: Option<Magnitude>,
    /// `skip`: [d_out, d_in], the linear map beside the latents (`W_skip`).
    pub skip: Option<Tensor>,
}

impl Parameters {
    /// Views of a flat f32 vector of [`Shape::count`] numbers.
    ///
    /// # Errors
    /// When `flat` has another size.
    pub fn of(flat: Tensor, shape: Shape) -> Result<Self, TchError> {
        let Shape {
            d_in, d_out, d_sae, ..
        } = shape;
        if flat.size() != [shape.count()] {
            return Err(TchError::Shape(format!(
                "{:?} is not [{}]",
                flat.size(),
                shape.count()
            )));
        }
        let mut at = 0;
        let mut next = |length: i64| {
            at += length;
            flat.f_narrow(0, at - length, length)
        };
        let encoder = next(d_sae * d_in)?.f_view([d_sae, d_in])?;
        let decoder = next(d_sae * d_out)?.f_view([d_sae, d_out])?;
        let encoder_bias = next(d_sae)?;
        let decoder_bias = next(d_out)?;
        let threshold = match shape.activation {
            Activation::JumpRelu => Some(next(d_sae)?),
            _ => None,
        };
        let magnitude = match shape.activation {
            Activation::Gated => Some(Magnitude {
                log_scale: next(d_sae)?,
                bias: next(d_sae)?,
            }),
            _ => None,
        };
        let skip = match shape.encoder_type {
            EncoderType::Skip => Some(next(d_out * d_in)?.f_view([d_out, d_in])?),
            EncoderType::Sparse | EncoderType::Transcoder => None,
        };
        Ok(Self {
            shape,
            encoder,
            encoder_bias,
            decoder,
            decoder_bias,
            threshold,
            magnitude,
            skip,
            flat,
        })
    }

    /// All that belongs to single latents: tensors whose row (or element) i is latent i's.
    pub fn by_latent(&mut self) -> Vec<&mut Tensor> {
        let magnitude = self.magnitude.as_mut();
        [&mut self.encoder, &mut self.decoder, &mut self.encoder_bias]
            .into_iter()
            .chain(self.threshold.as_mut())
            .chain(
                magnitude
                    .into_iter()
                    .flat_map(|of| [&mut of.log_scale, &mut of.bias]),
            )
            .collect()
    }

    /// All zero.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn zeros(shape: Shape, device: Device) -> Result<Self, TchError> {
        Self::of(
            Tensor::f_zeros([shape.count()], (Kind::Float, device))?,
            shape,
        )
    }

    /// Before training: decoder rows of random direction and norm 0.1, and the mean of the targets (f32 [d_out]) as decoder bias. The
    /// encoder of `sparse` is the decoder's transpose; that of a transcoder has random directions of its own, and a bias that takes the mean
    /// of what is read (f32 [d_in]) from it. All else is zero, JumpReLU's thresholds excepted.
    ///
    /// # Errors
    /// When there is no memory for it, or a mean has another width.
    pub fn initial(
        shape: Shape,
        hyperparameters: &Hyperparameters,
        input_mean: &Tensor,
        target_mean: &Tensor,
    ) -> Result<Self, TchError> {
        let mut parameters = Self::zeros(shape, target_mean.device())?;
        let seed = hyperparameters.seed;
        parameters
            .decoder
            .f_copy_(&directions(seed, "decoder", shape.d_sae, shape.d_out)?)?;
        parameters.decoder_bias.f_copy_(target_mean)?;
        if shape.centres_input() {
            parameters.encoder.f_copy_(&parameters.decoder)?;
        } else {
            let encoder = directions(seed, "encoder", shape.d_sae, shape.d_in)?;
            parameters.encoder.f_copy_(&encoder)?;
            let bias = parameters.encoder.f_mv(input_mean)?.f_neg()?;
            parameters.encoder_bias.f_copy_(&bias)?;
        }
        if let Some(threshold) = &mut parameters.threshold {
            let _ = threshold.f_fill_(initial_threshold(hyperparameters))?;
        }
        Ok(parameters)
    }
}

/// JumpReLU's threshold before training.
pub(super) fn initial_threshold(hyperparameters: &Hyperparameters) -> f64 {
    hyperparameters.jump_threshold.unwrap_or(JUMP_THRESHOLD)
}

/// Rows of random direction and norm 0.1: f32 [rows, width].
fn directions(seed: u64, purpose: &str, rows: i64, width: i64) -> Result<Tensor, TchError> {
    let mut random = Random::new(seed, purpose, 0);
    let mut numbers = Vec::with_capacity((rows * width) as usize);
    for _ in 0..rows {
        let row: Vec<f64> = (0..width).map(|_| random.normal()).collect();
        let norm = row
            .iter()
            .map(|x| x * x)
            .sum::<f64>()
            .sqrt()
            .max(f64::MIN_POSITIVE);
        numbers.extend(row.iter().map(|x| (x * INITIAL_NORM / norm) as f32));
    }
    Tensor::f_from_slice(&numbers)?.f_view([rows, width])
}
