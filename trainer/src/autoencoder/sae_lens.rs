//! Trained autoencoders, and the directories in which SAELens keeps them: `cfg.json`, `sae_weights.safetensors` and, where it is known,
//! `sparsity.safetensors` (SAELens 6).

mod configuration;
mod fold;
mod read;
mod write;

pub use read::read_metadata;
pub use write::Provenance;

use super::gradient::Activation;
use super::parameters::Magnitude;
use super::training::Training;
use crate::tensor_file::TensorFileError;
use std::path::PathBuf;
use tch::{Kind, TchError, Tensor};
use trainmaster_domain::training::EncoderType;

const CONFIGURATION: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";
const SPARSITY: &str = "sparsity.safetensors";

/// What SAELens adds to a frequency before it takes its logarithm.
const LEAST_FREQUENCY: f64 = 1e-10;

/// Why an autoencoder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum AutoencoderError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `cfg.json` is not what it should be.
    #[error("{path}: {reason}")]
    Configuration {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `sae_weights.safetensors` is not what it should be.
    #[error(transparent)]
    Weights(#[from] TensorFileError),
    /// libtorch failed.
    #[error("libtorch failed: {0}")]
    Libtorch(#[from] TchError),
}

/// What makes latents of pre-activations, once it is trained.
#[derive(Debug)]
pub enum LatentFunction {
    /// ReLU.
    Relu,
    /// The `k` largest, then ReLU.
    TopK(i64),
    /// ReLU, and 0 up to each latent's threshold (f32 [d_sae]).
    JumpRelu(Tensor),
    /// A gate, whose bias is the encoder's, and a magnitude.
    Gated(Magnitude),
}

/// A trained autoencoder or transcoder that reads raw activations.
#[derive(Debug)]
pub struct Autoencoder {
    /// `sparse`, or which kind of transcoder.
    pub encoder_type: EncoderType,
    /// What makes its latents.
    pub function: LatentFunction,
    /// Whether the decoder's bias is taken from what is read.
    pub centres_input: bool,
    /// f32 [d_in, d_sae].
    pub w_enc: Tensor,
    /// f32 [d_sae]; of gated latents, their gates' (`b_gate`).
    pub b_enc: Tensor,
    /// f32 [d_sae, d_out].
    pub w_dec: Tensor,
    /// f32 [d_out].
    pub b_dec: Tensor,
    /// `skip`: f32 [d_out, d_in].
    pub w_skip: Option<Tensor>,
    /// f32 [d_sae], log10 of how often each latent fires, where it is known.
    pub log_frequency: Option<Tensor>,
}

impl Autoencoder {
    /// What has been trained on `input_scale · x` and `target_scale · y`: the scales are folded into the weights.
    ///
    /// # Errors
    /// What libtorch says.
    pub(super) fn of(
        training: &Training,
        input_scale: f64,
        target_scale: f64,
    ) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        let parameters = &training.parameters;
        let shape = parameters.shape;
        let of = |vector: &Tensor| vector.f_mul_scalar(1.0);
        let function = match (
            shape.activation,
            &parameters.threshold,
            &parameters.magnitude,
        ) {
            (Activation::TopK(k), ..) => LatentFunction::TopK(k.min(shape.d_sae)),
            (Activation::BatchTopK(_), ..) => {
                let cut = training.cut.unwrap_or(0.0);
                LatentFunction::JumpRelu(parameters.encoder_bias.f_full_like(cut)?)
            }
            (Activation::JumpRelu, Some(threshold), _) => LatentFunction::JumpRelu(of(threshold)?),
            (Activation::Gated, _, Some(magnitude)) => LatentFunction::Gated(Magnitude {
                log_scale: of(&magnitude.log_scale)?,
                bias: of(&magnitude.bias)?,
            }),
            _ => LatentFunction::Relu,
        };
        let log_frequency = if training.firings.activations > 0 {
            let frequency = training
                .firings
                .counts
                .f_to_kind(Kind::Double)?
                .f_div_scalar(training.firings.activations)?;
            let logarithm = frequency.f_add_scalar(LEAST_FREQUENCY)?.f_log10()?;
            Some(logarithm.f_to_kind(Kind::Float)?)
        } else {
            None
        };
        Ok(Self {
            encoder_type: shape.encoder_type,
            function,
            centres_input: shape.centres_input(),
            w_enc: parameters
                .encoder
                .f_tr()?
                .f_mul_scalar(input_scale)?
                .f_contiguous()?,
            b_enc: of(&parameters.encoder_bias)?,
            w_dec: parameters.decoder.f_mul_scalar(1.0 / target_scale)?,
            b_dec: parameters.decoder_bias.f_mul_scalar(1.0 / target_scale)?,
            w_skip: match &parameters.skip {
                Some(skip) => Some(skip.f_mul_scalar(input_scale / target_scale)?),
                None => None,
            },
            log_frequency,
        })
    }

    /// Width of what it reads.
    #[must_use]
    pub fn d_in(&self) -> i64 {
        self.w_enc.size().first().copied().unwrap_or(0)
    }

    /// Width of what it writes.
    #[must_use]
    pub fn d_out(&self) -> i64 {
        self.b_dec.size().first().copied().unwrap_or(0)
    }

    /// Latents.
    #[must_use]
    pub fn d_sae(&self) -> i64 {
        self.b_enc.size().first().copied().unwrap_or(0)
    }

    /// Whether all its weights are numbers.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn is_finite(&self) -> Result<bool, TchError> {
        for (_, tensor) in self.tensors() {
            if tensor.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The latents of activations (f32 [rows, d_in]): f32 [rows, d_sae].
    ///
    /// # Errors
    /// What libtorch says, activations of another width included.
    pub fn encode(&self, activations: &Tensor) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let product = if self.centres_input {
            activations.f_sub(&self.b_dec)?.f_mm(&self.w_enc)?
        } else {
            activations.f_mm(&self.w_enc)?
        };
        let pre = product.f_add(&self.b_enc)?;
        match &self.function {
            LatentFunction::Relu => pre.f_relu(),
            LatentFunction::TopK(k) => {
                let (values, members) = pre.f_topk(*k, 1, true, false)?;
                pre.f_zeros_like()?
                    .f_scatter(1, &members, &values.f_relu()?)
            }
            LatentFunction::JumpRelu(threshold) => {
                pre.f_relu()?.f_mul(&pre.f_gt_tensor(threshold)?)
            }
            LatentFunction::Gated(magnitude) => magnitude
                .bias
                .f_addcmul(&product, &magnitude.log_scale.f_exp()?)?
                .f_relu()?
                .f_mul(&pre.f_gt(0.0)?),
        }
    }

    /// What latents (f32 [rows, d_sae]) stand for, beside the activations that they are of (f32 [rows, d_in], looked at by a skip
    /// connection only): f32 [rows, d_out].
    ///
    /// # Errors
    /// What libtorch says.
    pub fn decode(&self, latents: &Tensor, activations: &Tensor) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let decoded = self.b_dec.f_addmm(latents, &self.w_dec)?;
        match &self.w_skip {
            Some(skip) => decoded.f_addmm(activations, &skip.f_tr()?),
            None => Ok(decoded),
        }
    }
}
