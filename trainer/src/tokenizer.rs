//! The tokenizer that belongs to a language model: a Hugging Face `tokenizer.json`, or the vocabulary inside a GGUF file.

mod files;
mod from_gguf;

pub(crate) use files::TokenizerFiles;
pub(crate) use from_gguf::begins_with_bos;

use crate::language_model::{Checkpoint, LanguageModelError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use trainmaster_domain::run::journal::{Failure, FailureClass};

/// A token that ends a document in the texts that most models were trained on.
const END_OF_TEXT: &str = "<|endoftext|>";

/// Text to token ids.
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    bos: Option<u32>,
    separator: Option<u32>,
    sha256: String,
}

/// A tokenizer could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The model's files could not be read.
    #[error(transparent)]
    Model(#[from] LanguageModelError),
    /// There is no `tokenizer.json`, or it cannot be opened.
    #[error(
        "the tokenizer {path} cannot be opened ({source}); a Hugging Face directory needs its tokenizer.json"
    )]
    FileMissing {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The tokenizer's description is not one.
    #[error(
        "the tokenizer of {path} cannot be read ({detail}); fetch the model again, or use another"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A tokenizer of a kind that is not known here.
    #[error(
        "the tokenizer of {path} is not supported: {detail}; use the model's Hugging Face directory instead"
    )]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What about it.
        detail: String,
    },
    /// A text could not be tokenised.
    #[error("a text could not be tokenised: {0}")]
    Encode(String),
}

impl TokenizerError {
    /// The line of the journal.
    pub fn failure(&self) -> Failure {
        let code = match self {
            Self::Model(error) => return error.failure(),
            Self::FileMissing { .. } => "file_missing",
            Self::Malformed { .. } => "file_malformed",
            Self::Unsupported { .. } => "unsupported",
            Self::Encode(_) => "internal",
        };
        Failure {
            class: FailureClass::Workload,
            code: code.to_owned(),
            message: self.to_string(),
        }
    }
}

impl Tokenizer {
    /// The tokenizer of the model at `path`: a GGUF file, a directory that holds exactly one, or a Hugging Face directory (of
    /// which only `tokenizer.json` is needed).
    ///
    /// # Errors
    /// [`TokenizerError`]
    pub fn open(path: &Path) -> Result<Self, TokenizerError> {
        if path.join("tokenizer.json").exists() || path.join("config.json").exists() {
            return Self::from_directory(path);
        }
        match Checkpoint::open(path)? {
            Checkpoint::Gguf(file) => {
                let described = from_gguf::describe(&file)?;
                let json = described.json.to_string();
                Self::new(path, json.as_bytes(), described.bos, described.eos)
            }
            other => Self::from_directory(other.path()),
        }
    }

    fn from_directory(directory: &Path) -> Result<Self, TokenizerError> {
        let path = directory.join("tokenizer.json");
        let json = std::fs::read(&path).map_err(|source| TokenizerError::FileMissing {
            path: path.clone(),
            source,
        })?;
        let named = |file: &str| -> Option<Value> {
            serde_json::from_slice(&std::fs::read(directory.join(file)).ok()?).ok()
        };
        let config = named("config.json");
        let tokenizer_config = named("tokenizer_config.json");
        let mut tokenizer = Self::new(&path, &json, None, None)?;
        let id = |role: &str| {
            let by_name = tokenizer_config
                .as_ref()
                .and_then(|config| content(config.get(format!("{role}_token"))?));
            let by_id = config
                .as_ref()
                .and_then(|config| first_id(config.get(format!("{role}_token_id"))?));
            by_name
                .and_then(|name| tokenizer.inner.token_to_id(&name))
                .or(by_id)
        };
        let (bos, eos) = (id("bos"), id("eos"));
        tokenizer.bos = bos;
        tokenizer.separator = tokenizer.separator.or(eos);
        Ok(tokenizer)
    }

    fn new(
        path: &Path,
        json: &[u8],
        bos: Option<u32>,
        eos: Option<u32>,
    ) -> Result<Self, TokenizerError> {
        let malformed = |detail: String| TokenizerError::Malformed {
            path: path.to_owned(),
            detail,
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(json)
            .map_err(|error| malformed(error.to_string()))?;
        // Whoever saved it may have left these on; they would cut and fill our texts.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| malformed(error.to_string()))?;
        let separator = inner.token_to_id(END_OF_TEXT).or(eos);
        Ok(Self {
            inner,
            bos,
            separator,
            sha256: hex(&Sha256::digest(json)),
        })
    }

    /// The ids of a text, without any special token that is not in the text.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids, special tokens included.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.inner
            .decode(ids, false)
            .map_err(|error| TokenizerError::Encode(error.to_string()))
    }

    /// The special tokens that it is made to put around a text, which [`Tokenizer::encode`] leaves out.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn frame(&self) -> Result<Vec<u32>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast("", true)
            .map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The id of a token by its entry in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token that begins a sequence, when the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The token that stands between two documents: `<|endoftext|>` when the vocabulary has it, else the end-of-sequence token.
    pub fn separator(&self) -> Option<u32> {
        self.separator
    }

    /// Entries of the vocabulary, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// One more than the greatest id.
    pub fn id_bound(&self) -> u32 {
        self.inner
            .get_vocab(true)
            .into_values()
            .max()
            .map_or(0, |greatest| greatest.saturating_add(1))
    }

    /// Lower-case hex SHA-256 of the `tokenizer.json` that it was made from (for GGUF: of the equivalent one).
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// A token's text: a string, or an object with it.
fn content(token: &Value) -> Option<String> {
    token
        .as_str()
        .or_else(|| token.get("content")?.as_str())
        .map(str::to_owned)
}

/// A token's id: a number, or the first of several.
fn first_id(id: &Value) -> Option<u32> {
    let id = id.as_array().map_or(Some(id), |several| several.first())?;
    id.as_u64()?.try_into().ok()
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
