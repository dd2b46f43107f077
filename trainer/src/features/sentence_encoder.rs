//! Sentence encoders of the BERT family (Devlin et al. 2018, arXiv:1810.04805; Reimers and Gurevych 2019, arXiv:1908.10084): text to a
//! vector whose angle to others says how much they are about the same.

mod bert;

use crate::tensor_file::TensorFileError;
use bert::Bert;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, TchError, Tensor};
use tokenizers::{PaddingParams, PaddingStrategy, Tokenizer, TruncationParams};

/// Texts that are read at once.
const BATCH: usize = 32;

/// A sentence encoder could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum SentenceEncoderError {
    /// A file could not be read.
    #[error(
        "the sentence encoder's {path} cannot be read ({source}); it must be a directory with config.json, tokenizer.json and model.safetensors"
    )]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is of another kind.
    #[error(
        "the sentence encoder {path} cannot be used: {reason}; use one of the BERT family with mean pooling, as all-MiniLM-L6-v2 is"
    )]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What about it.
        reason: String,
    },
    /// Its weights are not what its configuration says.
    #[error(transparent)]
    Weights(#[from] TensorFileError),
    /// A text could not be tokenised.
    #[error("a text could not be tokenised for the sentence encoder: {0}")]
    Tokenize(String),
    /// libtorch failed.
    #[error("libtorch failed: {0}")]
    Libtorch(#[from] TchError),
}

/// A sentence encoder: BERT, averaged over a text's tokens, of length 1.
pub struct SentenceEncoder {
    name: String,
    tokenizer: Tokenizer,
    bert: Bert,
}

impl SentenceEncoder {
    /// Opens a directory with `config.json`, `tokenizer.json` and `model.safetensors`. It computes in `kind` on `device`.
    ///
    /// # Errors
    /// [`SentenceEncoderError`].
    pub fn open(
        directory: &Path,
        device: Device,
        kind: Kind,
    ) -> Result<Self, SentenceEncoderError> {
        let path = directory.join("config.json");
        let config = read_json(&path)?;
        let pooling = directory.join("1_Pooling").join("config.json");
        if pooling.exists() && read_json(&pooling)?["pooling_mode_mean_tokens"] != true {
            return Err(SentenceEncoderError::Unsupported {
                path: pooling,
                reason: "it does not average over tokens".to_owned(),
            });
        }
        let bert = Bert::open(directory, &config, device, kind)?;
        let path = directory.join("tokenizer.json");
        let text = read(&path)?;
        let unsupported = |error: tokenizers::Error| SentenceEncoderError::Unsupported {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut tokenizer = Tokenizer::from_bytes(text).map_err(unsupported)?;
        tokenizer.with_padding(Some(PaddingParams {
            strategy: PaddingStrategy::BatchLongest,
            ..PaddingParams::default()
        }));
        tokenizer
            .with_truncation(Some(TruncationParams {
                max_length: longest(directory).min(bert.longest()),
                ..TruncationParams::default()
            }))
            .map_err(unsupported)?;
        let name = directory.file_name().unwrap_or(directory.as_os_str());
        Ok(Self {
            name: config["_name_or_path"]
                .as_str()
                .filter(|name| !name.is_empty())
                .map_or_else(|| name.to_string_lossy().into_owned(), str::to_owned),
            tokenizer,
            bert,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A vector of length 1 for each text.
    ///
    /// # Errors
    /// [`SentenceEncoderError`].
    pub fn encode(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, SentenceEncoderError> {
        let _no_grad = tch::no_grad_guard();
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(BATCH) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let encodings = self
                .tokenizer
                .encode_batch(texts, true)
                .map_err(|error| SentenceEncoderError::Tokenize(error.to_string()))?;
            let numbers = |of: fn(&tokenizers::Encoding) -> &[u32]| -> Result<Tensor, TchError> {
                let all: Vec<i64> = encodings
                    .iter()
                    .flat_map(|encoding| of(encoding).iter().map(|number| i64::from(*number)))
                    .collect();
                Tensor::f_from_slice(&all)?.f_view([encodings.len() as i64, -1])
            };
            let pooled = self.bert.pooled(
                &numbers(tokenizers::Encoding::get_ids)?,
                &numbers(tokenizers::Encoding::get_attention_mask)?,
            )?;
            let norm = pooled
                .f_norm_scalaropt_dim(2, [1], true)?
                .f_clamp_min(1e-12)?;
            let unit = pooled.f_div(&norm)?.f_to_device(Device::Cpu)?;
            vectors.extend(Vec::<Vec<f32>>::try_from(unit)?);
        }
        Ok(vectors)
    }
}

/// The longest text, in tokens, that the encoder was made for.
fn longest(directory: &Path) -> usize {
    let config = read_json(&directory.join("sentence_bert_config.json"));
    config
        .ok()
        .and_then(|config| config["max_seq_length"].as_u64())
        .map_or(usize::MAX, |longest| longest as usize)
}

fn read(path: &Path) -> Result<Vec<u8>, SentenceEncoderError> {
    std::fs::read(path).map_err(|source| SentenceEncoderError::File {
        path: path.to_owned(),
        source,
    })
}

fn read_json(path: &Path) -> Result<Value, SentenceEncoderError> {
    serde_json::from_slice(&read(path)?).map_err(|error| SentenceEncoderError::Unsupported {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
