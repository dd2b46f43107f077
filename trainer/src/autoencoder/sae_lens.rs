//! An autoencoder as SAELens keeps it: a directory with `cfg.json` and `sae_weights.safetensors` (SAELens 6).

use super::gradient::Activation;
use super::parameters::Parameters;
use super::tensor_file::{TensorFile, TensorFileError, write_tensors};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, TchError, Tensor};

const CONFIGURATION: &str = "cfg.json";
const WEIGHTS: &str = "sae_weights.safetensors";

/// The version of SAELens whose format this is.
const FORMAT: &str = "6.54.12";

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

/// Which activations an autoencoder is for, as SAELens records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The language model's name.
    pub model_name: String,
    /// In TransformerLens's words: `blocks.<n>.hook_resid_post`.
    pub hook_name: String,
    /// In the words of transformers: `model.layers.<n>`.
    pub hf_hook_name: String,
    /// Tokens in a sequence, the beginning-of-sequence token included.
    pub context_size: i64,
    /// Whether sequences begin with a beginning-of-sequence token.
    pub prepend_bos: bool,
}

/// A trained autoencoder that reads raw activations.
#[derive(Debug)]
pub struct Autoencoder {
    /// ReLU (`standard`) or `topk`.
    pub activation: Activation,
    /// f32 [d_in, d_sae].
    pub w_enc: Tensor,
    /// f32 [d_sae].
    pub b_enc: Tensor,
    /// f32 [d_sae, d_in].
    pub w_dec: Tensor,
    /// f32 [d_in].
    pub b_dec: Tensor,
}

impl Autoencoder {
    /// From parameters that were trained on `scale · x`: the scale is folded into the weights.
    ///
    /// # Errors
    /// What libtorch says.
    pub fn of(
        parameters: &Parameters,
        activation: Activation,
        scale: f64,
    ) -> Result<Self, TchError> {
        let _no_grad = tch::no_grad_guard();
        Ok(Self {
            activation,
            w_enc: parameters
                .encoder
                .f_tr()?
                .f_mul_scalar(scale)?
                .f_contiguous()?,
            b_enc: parameters.encoder_bias.f_mul_scalar(1.0)?,
            w_dec: parameters.decoder.f_mul_scalar(1.0 / scale)?,
            b_dec: parameters.decoder_bias.f_mul_scalar(1.0 / scale)?,
        })
    }

    /// The latents of activations (f32 [rows, d_in]): f32 [rows, d_sae].
    ///
    /// # Errors
    /// What libtorch says, activations of another width included.
    pub fn encode(&self, activations: &Tensor) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        let centred = activations.f_sub(&self.b_dec)?;
        let pre = self.b_enc.f_addmm(&centred, &self.w_enc)?;
        match self.activation {
            Activation::Relu => pre.f_relu(),
            Activation::TopK(k) => {
                let k = k.min(self.b_enc.size1()?);
                let (values, members) = pre.f_topk(k, 1, true, false)?;
                pre.f_zeros_like()?
                    .f_scatter(1, &members, &values.f_relu()?)
            }
        }
    }

    /// What latents (f32 [rows, d_sae]) stand for: f32 [rows, d_in].
    ///
    /// # Errors
    /// What libtorch says.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor, TchError> {
        let _no_grad = tch::no_grad_guard();
        self.b_dec.f_addmm(latents, &self.w_dec)
    }

    /// Writes `cfg.json` and `sae_weights.safetensors` into an existing directory.
    ///
    /// # Errors
    /// [`AutoencoderError`].
    pub fn save(&self, directory: &Path, from: &Provenance) -> Result<(), AutoencoderError> {
        let (d_in, d_sae) = self.w_enc.size2()?;
        let mut configuration = json!({
            "architecture": "standard",
            "d_in": d_in,
            "d_sae": d_sae,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": true,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {
                "sae_lens_version": FORMAT,
                "trainer": concat!("trainmaster-trainer ", env!("CARGO_PKG_VERSION")),
                "model_name": from.model_name,
                "hook_name": from.hook_name,
                "hf_hook_name": from.hf_hook_name,
                "hook_head_index": null,
                "context_size": from.context_size,
                "prepend_bos": from.prepend_bos,
            },
        });
        if let Activation::TopK(k) = self.activation {
            configuration["architecture"] = json!("topk");
            configuration["k"] = json!(k.min(d_sae));
            configuration["rescale_acts_by_decoder_norm"] = json!(false);
        }
        let path = directory.join(CONFIGURATION);
        let text = format!("{configuration:#}\n");
        std::fs::File::create(&path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .map_err(|source| AutoencoderError::File { path, source })?;
        let tensors = [
            ("W_enc", &self.w_enc),
            ("b_enc", &self.b_enc),
            ("W_dec", &self.w_dec),
            ("b_dec", &self.b_dec),
        ];
        write_tensors(&directory.join(WEIGHTS), &tensors)?;
        Ok(())
    }

    /// Reads a directory of architecture `standard` or `topk`, whoever wrote it.
    ///
    /// # Errors
    /// [`AutoencoderError`], also for what would need more than is here: another architecture, or normalisation that is not folded.
    pub fn load(directory: &Path, device: Device) -> Result<Self, AutoencoderError> {
        let path = directory.join(CONFIGURATION);
        let wrong = |reason: String| AutoencoderError::Configuration {
            path: path.clone(),
            reason,
        };
        let text = std::fs::read(&path).map_err(|source| AutoencoderError::File {
            path: path.clone(),
            source,
        })?;
        let configuration: Value =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let size = |name: &str| {
            configuration[name]
                .as_i64()
                .filter(|size| *size > 0)
                .ok_or_else(|| wrong(format!("{name:?} is not a positive number")))
        };
        let (d_in, d_sae) = (size("d_in")?, size("d_sae")?);
        let activation = match configuration["architecture"].as_str() {
            Some("standard") => Activation::Relu,
            Some("topk") if configuration["rescale_acts_by_decoder_norm"] != json!(true) => {
                Activation::TopK(size("k")?)
            }
            _ => {
                return Err(wrong(format!(
                    "architecture {} (rescaled by decoder norm: {}) cannot be read; \"standard\" and \"topk\" can",
                    configuration["architecture"], configuration["rescale_acts_by_decoder_norm"]
                )));
            }
        };
        for option in ["normalize_activations", "reshape_activations"] {
            if !matches!(configuration[option].as_str(), None | Some("none")) {
                return Err(wrong(format!("{option:?} must be \"none\"")));
            }
        }
        let file = TensorFile::open(&directory.join(WEIGHTS))?;
        let tensor = |name: &str, shape: &[i64]| -> Result<Tensor, AutoencoderError> {
            Ok(file
                .tensor(name, shape)?
                .f_to_kind(Kind::Float)?
                .f_to_device(device)?)
        };
        let w_enc = tensor("W_enc", &[d_in, d_sae])?;
        let mut b_enc = tensor("b_enc", &[d_sae])?;
        let b_dec = tensor("b_dec", &[d_in])?;
        if configuration["apply_b_dec_to_input"] == json!(false) {
            // Our encoder subtracts b_dec: give back what that takes.
            let given_back = w_enc.f_tr()?.f_mv(&b_dec)?;
            let _ = b_enc.f_add_(&given_back)?;
        }
        Ok(Self {
            activation,
            w_dec: tensor("W_dec", &[d_sae, d_in])?,
            w_enc,
            b_enc,
            b_dec,
        })
    }
}
