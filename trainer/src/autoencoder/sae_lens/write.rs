//! Writing a directory as SAELens does.

use super::{Autoencoder, AutoencoderError, CONFIGURATION, LatentFunction, SPARSITY, WEIGHTS};
use crate::tensor_file::write_tensors;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::Path;
use tch::Tensor;
use trainmaster_domain::training::EncoderType;

/// The version of SAELens whose format this is.
const FORMAT: &str = "6.54.12";

/// Which activations an autoencoder is for, as SAELens records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The language model's name.
    pub model_name: String,
    /// In TransformerLens's words: `blocks.<n>.hook_resid_post`.
    pub hook_name: String,
    /// In the words of transformers: `model.layers.<n>`.
    pub hf_hook_name: String,
    /// A transcoder: where what it computes is read, in TransformerLens's words.
    pub hook_name_out: Option<String>,
    /// The same in the words of transformers.
    pub hf_hook_name_out: Option<String>,
    /// Tokens in a sequence, the beginning-of-sequence token included.
    pub context_size: i64,
    /// Whether sequences begin with a beginning-of-sequence token.
    pub prepend_bos: bool,
}

impl Provenance {
    fn metadata(&self) -> Map<String, Value> {
        let mut metadata = Map::new();
        let mut set = |name: &str, value: Value| metadata.insert(name.into(), value);
        set("sae_lens_version", json!(FORMAT));
        set(
            "trainer",
            json!(concat!("trainmaster-trainer ", env!("CARGO_PKG_VERSION"))),
        );
        set("model_name", json!(self.model_name));
        set("hook_name", json!(self.hook_name));
        set("hf_hook_name", json!(self.hf_hook_name));
        set("hook_head_index", Value::Null);
        set("context_size", json!(self.context_size));
        set("prepend_bos", json!(self.prepend_bos));
        if let Some(name) = &self.hook_name_out {
            set("hook_name_out", json!(name));
        }
        if let Some(name) = &self.hf_hook_name_out {
            set("hf_hook_name_out", json!(name));
        }
        metadata
    }
}

impl Autoencoder {
    /// SAELens's name for it. SAELens has no transcoders with TopK or gated latents: what they are called here follows its pattern, and it
    /// refuses them by name.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        match (self.encoder_type, &self.function) {
            (EncoderType::Sparse, LatentFunction::Relu) => "standard",
            (EncoderType::Sparse, LatentFunction::TopK(_)) => "topk",
            (EncoderType::Sparse, LatentFunction::JumpRelu(_)) => "jumprelu",
            (EncoderType::Sparse, LatentFunction::Gated(_)) => "gated",
            (EncoderType::Transcoder, LatentFunction::Relu) => "transcoder",
            (EncoderType::Transcoder, LatentFunction::TopK(_)) => "topk_transcoder",
            (EncoderType::Transcoder, LatentFunction::JumpRelu(_)) => "jumprelu_transcoder",
            (EncoderType::Transcoder, LatentFunction::Gated(_)) => "gated_transcoder",
            (EncoderType::Skip, LatentFunction::Relu) => "skip_transcoder",
            (EncoderType::Skip, LatentFunction::TopK(_)) => "topk_skip_transcoder",
            (EncoderType::Skip, LatentFunction::JumpRelu(_)) => "jumprelu_skip_transcoder",
            (EncoderType::Skip, LatentFunction::Gated(_)) => "gated_skip_transcoder",
        }
    }

    /// Writes a result of a training into an existing directory, and syncs its files.
    ///
    /// # Errors
    /// [`AutoencoderError`].
    pub fn save(&self, directory: &Path, from: &Provenance) -> Result<(), AutoencoderError> {
        self.save_with(directory, from.metadata())
    }

    /// The same with the `metadata` of `cfg.json` as it is to be ([`super::read_metadata`]).
    ///
    /// # Errors
    /// [`AutoencoderError`].
    pub fn save_with(
        &self,
        directory: &Path,
        metadata: Map<String, Value>,
    ) -> Result<(), AutoencoderError> {
        let path = directory.join(CONFIGURATION);
        let text = format!("{:#}\n", self.configuration(metadata)?);
        std::fs::File::create(&path)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .map_err(|source| AutoencoderError::File { path, source })?;
        write_tensors(&directory.join(WEIGHTS), &self.tensors())?;
        if let Some(sparsity) = &self.log_frequency {
            write_tensors(&directory.join(SPARSITY), &[("sparsity", sparsity)])?;
        }
        Ok(())
    }

    fn configuration(&self, metadata: Map<String, Value>) -> Result<Value, AutoencoderError> {
        let (d_in, d_sae) = self.w_enc.size2()?;
        let mut configuration = json!({
            "architecture": self.architecture(),
            "d_in": d_in,
            "d_sae": d_sae,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": self.centres_input,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": metadata,
        });
        if self.encoder_type != EncoderType::Sparse {
            configuration["d_out"] = json!(self.b_dec.size1()?);
        }
        if let LatentFunction::TopK(k) = self.function {
            configuration["k"] = json!(k);
            configuration["rescale_acts_by_decoder_norm"] = json!(false);
        }
        Ok(configuration)
    }

    pub(super) fn tensors(&self) -> Vec<(&'static str, &Tensor)> {
        let mut tensors = vec![
            ("W_enc", &self.w_enc),
            ("W_dec", &self.w_dec),
            ("b_dec", &self.b_dec),
        ];
        if let LatentFunction::Gated(magnitude) = &self.function {
            tensors.push(("b_gate", &self.b_enc));
            tensors.push(("b_mag", &magnitude.bias));
            tensors.push(("r_mag", &magnitude.log_scale));
        } else {
            tensors.push(("b_enc", &self.b_enc));
        }
        if let LatentFunction::JumpRelu(threshold) = &self.function {
            tensors.push(("threshold", threshold));
        }
        if let Some(skip) = &self.w_skip {
            tensors.push(("W_skip", skip));
        }
        tensors
    }
}
