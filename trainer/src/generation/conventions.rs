//! What a model's files say about the texts that it was made for: what begins and ends them, how a conversation looks.

use super::GenerationError;
use crate::language_model::{Checkpoint, Gguf, whole};
use crate::tokenizer::{Tokenizer, begins_with_bos};
use candle_core::quantized::gguf_file;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// The conventions of a model.
#[derive(Clone, Debug, Default)]
pub struct Conventions {
    /// The token that is put before a text which is not a conversation.
    pub begin: Option<u32>,
    /// The tokens that end a text.
    pub ends: BTreeSet<u32>,
    /// How a conversation looks: a Jinja template.
    pub chat_template: Option<String>,
    /// What the template calls `bos_token`.
    pub begin_text: Option<String>,
    /// What the template calls `eos_token`.
    pub end_text: Option<String>,
}

impl Conventions {
    /// Those of the model at `path`: a GGUF file's metadata, or the `tokenizer_config.json`, `generation_config.json`, `config.json` and
    /// `chat_template.jinja` of a Hugging Face directory, as far as they are there.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub fn of(path: &Path, tokenizer: &Tokenizer) -> Result<Self, GenerationError> {
        let mut conventions = match Checkpoint::open(path)? {
            Checkpoint::Gguf(file) => Self::of_gguf(&file, tokenizer)?,
            other => Self::of_directory(other.path(), tokenizer)?,
        };
        // What stands between two texts ends the first.
        conventions.ends.extend(tokenizer.separator());
        Ok(conventions)
    }

    fn of_gguf(file: &Gguf, tokenizer: &Tokenizer) -> Result<Self, GenerationError> {
        let metadata = file.metadata();
        let text = |key: &str| match metadata.get(key) {
            Some(gguf_file::Value::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let id = |key: &str| -> Option<u32> { whole(metadata.get(key)?)?.try_into().ok() };
        let begins = begins_with_bos(file);
        let end = id("tokenizer.ggml.eos_token_id");
        Ok(Self {
            begin: tokenizer.bos().filter(|_| begins),
            ends: ["eos", "eot", "eom"]
                .iter()
                .filter_map(|role| id(&format!("tokenizer.ggml.{role}_token_id")))
                .collect(),
            chat_template: text("tokenizer.chat_template").map(str::to_owned),
            begin_text: spelt(tokenizer, tokenizer.bos())?,
            end_text: spelt(tokenizer, end)?,
        })
    }

    fn of_directory(directory: &Path, tokenizer: &Tokenizer) -> Result<Self, GenerationError> {
        let json = |file: &str| -> Result<Value, GenerationError> {
            let path = directory.join(file);
            if !path.exists() {
                return Ok(Value::Null);
            }
            let read = std::fs::read(&path).map_err(|error| error.to_string());
            read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()))
                .map_err(|detail| GenerationError::Convention { path, detail })
        };
        let tokenizer_config = json("tokenizer_config.json")?;
        let named = |role: &str| {
            let token = &tokenizer_config[format!("{role}_token")];
            token
                .as_str()
                .or_else(|| token["content"].as_str())
                .map(str::to_owned)
        };
        let mut ends = BTreeSet::new();
        for file in ["generation_config.json", "config.json"] {
            ends.extend(ids(&json(file)?["eos_token_id"]));
        }
        let end = named("eos");
        ends.extend(end.as_deref().and_then(|text| tokenizer.id(text)));
        let begins = tokenizer_config["add_bos_token"] == Value::Bool(true)
            || tokenizer
                .frame()?
                .first()
                .is_some_and(|first| Some(*first) == tokenizer.bos());
        let first_end = ends.first().copied();
        Ok(Self {
            begin: tokenizer.bos().filter(|_| begins),
            chat_template: chat_template(directory, &tokenizer_config["chat_template"]),
            begin_text: match named("bos") {
                Some(text) => Some(text),
                None => spelt(tokenizer, tokenizer.bos())?,
            },
            end_text: match end {
                Some(text) => Some(text),
                None => spelt(tokenizer, first_end)?,
            },
            ends,
        })
    }
}

/// A file of its own (transformers 5), a template, or the one of several that is called `default`.
fn chat_template(directory: &Path, configured: &Value) -> Option<String> {
    std::fs::read_to_string(directory.join("chat_template.jinja"))
        .ok()
        .or_else(|| configured.as_str().map(str::to_owned))
        .or_else(|| {
            let several = configured.as_array()?;
            let default = several
                .iter()
                .find(|named| named["name"] == "default")
                .or(several.first())?;
            default["template"].as_str().map(str::to_owned)
        })
}

/// A number, or several.
fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .map_or(std::slice::from_ref(value), Vec::as_slice)
        .iter()
        .filter_map(|id| id.as_u64()?.try_into().ok())
        .collect()
}

fn spelt(tokenizer: &Tokenizer, token: Option<u32>) -> Result<Option<String>, GenerationError> {
    Ok(match token {
        Some(token) => Some(tokenizer.decode(&[token])?),
        None => None,
    })
}
