//! A model's tokenizer, and what its files say of texts and conversations, as files of a Hugging Face directory: to go with weights
//! that were made of that model's.

use super::{TokenizerError, from_gguf};
use crate::language_model::{Checkpoint, Gguf, LanguageModelError};
use candle_core::quantized::gguf_file::Value as Metadata;
use serde_json::{Value, json};

/// What Hugging Face directories hold beside weights.
const FILES: [&str; 5] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
];

/// What a directory needs to have the tokenizer of another model.
#[derive(Default)]
pub(crate) struct TokenizerFiles {
    /// Names and contents.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
    /// What `config.json` has to say beside.
    pub(crate) config: Vec<(&'static str, Value)>,
}

impl TokenizerFiles {
    /// Those of a model; none where the model has none.
    ///
    /// # Errors
    /// A file that is there and cannot be read; a GGUF file whose tokenizer is not known.
    pub(crate) fn of(source: &Checkpoint) -> Result<Self, LanguageModelError> {
        match source {
            Checkpoint::Gguf(file) => Self::of_gguf(file),
            directory => {
                let mut files = Vec::new();
                for name in FILES {
                    let path = directory.path().join(name);
                    match std::fs::read(&path) {
                        Ok(bytes) => files.push((name, bytes)),
                        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                        Err(source) => {
                            return Err(LanguageModelError::FileMissing { path, source });
                        }
                    }
                }
                Ok(Self {
                    files,
                    config: Vec::new(),
                })
            }
        }
    }

    fn of_gguf(file: &Gguf) -> Result<Self, LanguageModelError> {
        if !file.metadata().contains_key("tokenizer.ggml.model") {
            return Ok(Self::default());
        }
        let described = from_gguf::describe(file).map_err(|error| match error {
            TokenizerError::Model(error) => error,
            other => LanguageModelError::Unsupported {
                path: file.path().to_owned(),
                detail: other.to_string(),
            },
        })?;
        let mut tokenizer_config = json!({ "add_bos_token": from_gguf::begins_with_bos(file) });
        if let Some(Metadata::String(template)) = file.metadata().get("tokenizer.chat_template") {
            tokenizer_config["chat_template"] = template.as_str().into();
        }
        let ends: Vec<_> = ["eos", "eot", "eom"]
            .iter()
            .filter_map(|role| from_gguf::token_id(file, role))
            .collect();
        let mut config = Vec::new();
        if let Some(bos) = described.bos {
            config.push(("bos_token_id", bos.into()));
        }
        if !ends.is_empty() {
            config.push(("eos_token_id", ends.into()));
        }
        Ok(Self {
            // As `Tokenizer::open` makes it of the file itself, so that both have one hash.
            files: vec![
                ("tokenizer.json", described.json.to_string().into_bytes()),
                (
                    "tokenizer_config.json",
                    format!("{tokenizer_config:#}\n").into_bytes(),
                ),
            ],
            config,
        })
    }
}
