//! Reading a directory that SAELens wrote, or that was written as SAELens does.

use super::configuration::{Configuration, Latents, read_object};
use super::{Autoencoder, AutoencoderError, LatentFunction, SPARSITY, WEIGHTS};
use crate::autoencoder::parameters::Magnitude;
use crate::tensor_file::TensorFile;
use serde_json::{Map, Value};
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::training::EncoderType;

/// Beside the checkpoints of a training of SAELens: how it scaled activations.
const SCALER: &str = "activation_scaler.json";
/// The same of one that whitened them.
const WHITENING: &str = "activation_whitening.safetensors";

/// What the `cfg.json` of a directory says about where its autoencoder comes from; of SAELens before version 6, what it says beside all else.
///
/// # Errors
/// [`AutoencoderError`].
pub fn read_metadata(directory: &Path) -> Result<Map<String, Value>, AutoencoderError> {
    const BEFORE_6: [&str; 7] = [
        "model_name",
        "hook_name",
        "hook_head_index",
        "context_size",
        "prepend_bos",
        "dataset_path",
        "neuronpedia_id",
    ];
    let mut fields = Configuration::read(directory)?.fields;
    if let Some(Value::Object(metadata)) = fields.remove("metadata") {
        return Ok(metadata);
    }
    let mut metadata: Map<String, Value> = BEFORE_6
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), fields.remove(*name)?)))
        .collect();
    if let Some(name) = fields.remove("hook_point") {
        metadata.entry("hook_name").or_insert(name);
    }
    // What is written beside it has the form of this version.
    metadata.insert("sae_lens_version".into(), "6.0.0".into());
    Ok(metadata)
}

impl Autoencoder {
    /// Reads a directory, whoever wrote it: every architecture of SAELens but `abstopk`, `matching_pursuit` and `temporal`, whose latents
    /// are made otherwise, checkpoints of its trainings included. What it does to activations beside the weights is folded into them; where
    /// that is not possible, it is an error.
    ///
    /// # Errors
    /// [`AutoencoderError`].
    pub fn load(directory: &Path, device: Device) -> Result<Self, AutoencoderError> {
        let configuration = Configuration::read(directory)?;
        let (encoder_type, latents) = configuration.architecture()?;
        let (d_in, d_sae) = (configuration.size("d_in")?, configuration.size("d_sae")?);
        let sparse = encoder_type == EncoderType::Sparse;
        let d_out = if sparse {
            d_in
        } else {
            configuration.size("d_out")?
        };
        if !matches!(
            configuration.text("reshape_activations"),
            None | Some("none")
        ) {
            return Err(configuration.wrong(
                "\"reshape_activations\" must be \"none\": activations of single heads are not hooked here".into(),
            ));
        }
        let centres_input = configuration.flag("apply_b_dec_to_input").unwrap_or(sparse);
        if centres_input && !sparse {
            return Err(configuration
                .wrong("\"apply_b_dec_to_input\" must be false in a transcoder".into()));
        }

        let file = TensorFile::open(&directory.join(WEIGHTS))?;
        let tensor = |name: &str, shape: &[i64]| -> Result<Tensor, AutoencoderError> {
            Ok(file
                .tensor(name, shape)?
                .f_to_kind(Kind::Float)?
                .f_to_device(device)?)
        };
        let vector = |name: &str| tensor(name, &[d_sae]);
        if file.has("scaling_factor") {
            let factor = vector("scaling_factor")?;
            if !factor.f_allclose(&factor.f_ones_like()?, 1e-5, 1e-8, false)? {
                return Err(configuration.wrong(
                    "its latents are scaled after finetuning (\"scaling_factor\"), which cannot be read".into(),
                ));
            }
        }
        let function = match latents {
            Latents::Relu => LatentFunction::Relu,
            Latents::TopK => LatentFunction::TopK(configuration.k()?.min(d_sae)),
            Latents::BatchTopK => LatentFunction::JumpRelu(
                tensor("topk_threshold", &[])?
                    .f_expand([d_sae], false)?
                    .f_contiguous()?,
            ),
            // Trainings of older versions keep its logarithm.
            Latents::JumpRelu if file.has("log_threshold") => {
                LatentFunction::JumpRelu(vector("log_threshold")?.f_exp()?)
            }
            Latents::JumpRelu => LatentFunction::JumpRelu(vector("threshold")?),
            Latents::Gated => LatentFunction::Gated(Magnitude {
                log_scale: vector("r_mag")?,
                bias: vector("b_mag")?,
            }),
        };
        let mut autoencoder = Self {
            encoder_type,
            centres_input,
            w_enc: tensor("W_enc", &[d_in, d_sae])?,
            b_enc: vector(if latents == Latents::Gated {
                "b_gate"
            } else {
                "b_enc"
            })?,
            w_dec: tensor("W_dec", &[d_sae, d_out])?,
            b_dec: tensor("b_dec", &[d_out])?,
            w_skip: match encoder_type {
                EncoderType::Skip => Some(tensor("W_skip", &[d_out, d_in])?),
                EncoderType::Sparse | EncoderType::Transcoder => None,
            },
            log_frequency: log_frequency(directory, d_sae, device)?,
            function,
        };
        let rescaled = configuration.flag("rescale_acts_by_decoder_norm") == Some(true);
        autoencoder.fold_normalization(directory, &configuration, rescaled, device)?;
        Ok(autoencoder)
    }

    /// SAELens folds a scale before the decoder's norms, which have it in them then, and whitening after them.
    fn fold_normalization(
        &mut self,
        directory: &Path,
        configuration: &Configuration,
        rescaled: bool,
        device: Device,
    ) -> Result<(), AutoencoderError> {
        let d_in = self.d_in();
        let name = configuration.normalization();
        let sparse = self.encoder_type == EncoderType::Sparse;
        match name {
            "none" => {
                if rescaled {
                    self.fold_decoder_norm()?;
                }
            }
            "expected_average_only_in" if sparse && directory.join(SCALER).exists() => {
                let path = directory.join(SCALER);
                let scale = read_object(&path)?
                    .get("scaling_factor")
                    .and_then(Value::as_f64)
                    .filter(|scale| scale.is_normal() && *scale > 0.0);
                let Some(scale) = scale else {
                    let reason = "\"scaling_factor\" is not a number above 0".into();
                    return Err(AutoencoderError::Configuration { path, reason });
                };
                self.fold_scale(scale)?;
                if rescaled {
                    self.rescale_threshold(1.0 / scale)?;
                    self.fold_decoder_norm()?;
                }
            }
            "covariance_whitening" if sparse && directory.join(WHITENING).exists() => {
                if rescaled {
                    self.fold_decoder_norm()?;
                }
                let file = TensorFile::open(&directory.join(WHITENING))?;
                let tensor = |name: &str, shape: &[i64]| -> Result<Tensor, AutoencoderError> {
                    Ok(file.tensor(name, shape)?.f_to_device(device)?)
                };
                self.fold_whitening(
                    &tensor("mean", &[d_in])?,
                    &tensor("matrix", &[d_in, d_in])?,
                    &tensor("inverse_matrix", &[d_in, d_in])?,
                )?;
            }
            "expected_average_only_in" | "covariance_whitening" => {
                return Err(configuration.wrong(format!(
                    "\"normalize_activations\" is {name:?}, and {SCALER} or {WHITENING} is not beside it (and it must not be a transcoder): \
                     fold the normalisation into the weights with SAELens first"
                )));
            }
            _ => {
                return Err(configuration.wrong(format!(
                    "\"normalize_activations\" {name:?} depends on each activation and cannot be folded into weights"
                )));
            }
        }
        Ok(())
    }
}

fn log_frequency(
    directory: &Path,
    d_sae: i64,
    device: Device,
) -> Result<Option<Tensor>, AutoencoderError> {
    let path = directory.join(SPARSITY);
    if !path.exists() {
        return Ok(None);
    }
    let sparsity = TensorFile::open(&path)?.tensor("sparsity", &[d_sae])?;
    Ok(Some(sparsity.f_to_kind(Kind::Float)?.f_to_device(device)?))
}
