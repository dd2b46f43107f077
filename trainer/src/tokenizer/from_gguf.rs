//! A `tokenizer.json` made of the vocabulary that a GGUF file holds.
//!
//! GGUF names a tokenizer by its model (`tokenizer.ggml.model`: `gpt2` for byte-level BPE, `llama` for SentencePiece) and,
//! for the former, by how text is split before (`tokenizer.ggml.pre`). The patterns are llama.cpp's (`src/llama-vocab.cpp`).

use super::TokenizerError;
use crate::language_model::Gguf;
use candle_core::quantized::gguf_file::Value;
use serde_json::{Map, json};
use std::collections::HashMap;

/// Splits as GPT-4 does, numbers in threes: Llama 3.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same, digits apart: Qwen 2.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// ggml's kinds of tokens (`llama_token_type`).
mod token_type {
    pub const UNKNOWN: i64 = 2;
    pub const CONTROL: i64 = 3;
    pub const USER_DEFINED: i64 = 4;
}

/// What a GGUF file says of its tokenizer.
pub(super) struct Described {
    pub json: serde_json::Value,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
}

/// Describes the tokenizer of a GGUF file.
pub(super) fn describe(file: &Gguf) -> Result<Described, TokenizerError> {
    let reader = Reader { file };
    let tokens = reader.texts("tokenizer.ggml.tokens")?;
    let types = reader
        .whole_numbers("tokenizer.ggml.token_type")?
        .unwrap_or_default();
    let json = match reader.text("tokenizer.ggml.model")?.as_str() {
        "gpt2" => byte_level(&reader, &tokens)?,
        "llama" => sentence_piece(&reader, &tokens)?,
        other => {
            return Err(
                reader.unsupported(format!("its kind is {other}; gpt2 and llama are known"))
            );
        }
    };
    let mut json = json;
    json["version"] = "1.0".into();
    json["added_tokens"] = added_tokens(&tokens, &types);
    Ok(Described {
        json,
        bos: reader.id("tokenizer.ggml.bos_token_id"),
        eos: reader.id("tokenizer.ggml.eos_token_id"),
    })
}

/// Whether texts begin with the beginning-of-sequence token; what llama.cpp does where the file does not say.
pub(crate) fn begins_with_bos(file: &Gguf) -> bool {
    let text = |key: &str| match file.metadata().get(key) {
        Some(Value::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match file.metadata().get("tokenizer.ggml.add_bos_token") {
        Some(Value::Bool(begins)) => *begins,
        _ => {
            text("tokenizer.ggml.model") == Some("llama")
                || matches!(
                    text("tokenizer.ggml.pre"),
                    Some("llama-bpe" | "llama3" | "llama-v3")
                )
        }
    }
}

/// The token of a role: `bos`, `eos`, `eot` or `eom`.
pub(super) fn token_id(file: &Gguf, role: &str) -> Option<u32> {
    Reader { file }.id(&format!("tokenizer.ggml.{role}_token_id"))
}

fn byte_level(reader: &Reader<'_>, tokens: &[String]) -> Result<serde_json::Value, TokenizerError> {
    let pre = match reader.file.metadata().get("tokenizer.ggml.pre") {
        Some(Value::String(pre)) => pre.as_str(),
        _ => "gpt-2",
    };
    let bytes = |use_regex| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex });
    let split = |pattern: &str| {
        let split = json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated", "invert": false });
        json!({ "type": "Sequence", "pretokenizers": [split, bytes(false)] })
    };
    let pre_tokenizer = match pre {
        "gpt-2" => bytes(true),
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" => {
            let digits = json!({ "type": "Digits", "individual_digits": true });
            json!({ "type": "Sequence", "pretokenizers": [digits, bytes(true)] })
        }
        "llama-bpe" | "llama3" | "llama-v3" => split(LLAMA3),
        "qwen2" => split(QWEN2),
        other => {
            return Err(reader.unsupported(format!(
                "it splits text as {other} does, which is not known here"
            )));
        }
    };
    let mut merges = Vec::new();
    for merge in reader.texts("tokenizer.ggml.merges")? {
        let (left, right) = merge
            .split_once(' ')
            .ok_or_else(|| reader.malformed(format!("the merge {merge:?} is not two tokens")))?;
        merges.push(json!([left, right]));
    }
    Ok(json!({
        "pre_tokenizer": pre_tokenizer,
        "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true },
        "model": {
            "type": "BPE",
            "vocab": vocabulary(tokens),
            "merges": merges,
            // Llama 3 takes a word that is a token as that token, whatever its merges say.
            "ignore_merges": matches!(pre, "llama-bpe" | "llama3" | "llama-v3"),
        },
    }))
}

/// SentencePiece's BPE joins the pair whose union has the highest score; as a list of merges, that is every split of every
/// token, best score first.
fn sentence_piece(
    reader: &Reader<'_>,
    tokens: &[String],
) -> Result<serde_json::Value, TokenizerError> {
    let scores = reader.numbers("tokenizer.ggml.scores")?;
    if scores.len() != tokens.len() {
        return Err(reader.malformed(format!(
            "it has {} tokens, but {} scores",
            tokens.len(),
            scores.len()
        )));
    }
    let ids: HashMap<&str, usize> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (token.as_str(), id))
        .collect();
    let mut merges = Vec::new();
    for (token, score) in tokens.iter().zip(&scores) {
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(left_id), Some(right_id)) = (ids.get(left), ids.get(right)) {
                merges.push((*score, *left_id, *right_id, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let merges: Vec<_> = merges
        .into_iter()
        .map(|(_, _, _, left, right)| json!([left, right]))
        .collect();
    let unknown = reader.id("tokenizer.ggml.unknown_token_id").unwrap_or(0) as usize;
    let begins_with_space = !matches!(
        reader
            .file
            .metadata()
            .get("tokenizer.ggml.add_space_prefix"),
        Some(Value::Bool(false))
    );
    let space = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
    let normalizers = if begins_with_space {
        vec![json!({ "type": "Prepend", "prepend": "▁" }), space]
    } else {
        vec![space]
    };
    let mut decoders = vec![
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if begins_with_space {
        decoders.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    Ok(json!({
        "normalizer": { "type": "Sequence", "normalizers": normalizers },
        "decoder": { "type": "Sequence", "decoders": decoders },
        "model": {
            "type": "BPE",
            "vocab": vocabulary(tokens),
            "merges": merges,
            "unk_token": tokens.get(unknown),
            "fuse_unk": true,
            "byte_fallback": true,
        },
    }))
}

fn vocabulary(tokens: &[String]) -> Map<String, serde_json::Value> {
    tokens
        .iter()
        .enumerate()
        .map(|(id, token)| (token.clone(), id.into()))
        .collect()
}

/// Tokens that are found in a text before it is split.
fn added_tokens(tokens: &[String], types: &[i64]) -> serde_json::Value {
    let added = tokens
        .iter()
        .zip(types)
        .enumerate()
        .filter_map(|(id, (token, kind))| {
            let special = matches!(*kind, token_type::CONTROL | token_type::UNKNOWN);
            (special || *kind == token_type::USER_DEFINED).then(|| {
                json!({
                    "id": id, "content": token, "special": special,
                    "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
                })
            })
        });
    added.collect()
}

/// Reads metadata.
struct Reader<'a> {
    file: &'a Gguf,
}

impl Reader<'_> {
    fn malformed(&self, detail: String) -> TokenizerError {
        TokenizerError::Malformed {
            path: self.file.path().to_owned(),
            detail,
        }
    }

    fn unsupported(&self, detail: String) -> TokenizerError {
        TokenizerError::Unsupported {
            path: self.file.path().to_owned(),
            detail,
        }
    }

    fn wrong(&self, key: &str, wanted: &str) -> TokenizerError {
        self.malformed(format!("its metadata's {key} is not {wanted}"))
    }

    fn array(&self, key: &str) -> Result<Option<&[Value]>, TokenizerError> {
        match self.file.metadata().get(key) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(_) => Err(self.wrong(key, "an array")),
        }
    }

    fn text(&self, key: &str) -> Result<String, TokenizerError> {
        match self.file.metadata().get(key) {
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(self.wrong(key, "there as a string: it has no vocabulary")),
        }
    }

    fn texts(&self, key: &str) -> Result<Vec<String>, TokenizerError> {
        let values = self.array(key)?.ok_or_else(|| self.wrong(key, "there"))?;
        let texts = values.iter().map(|value| match value {
            Value::String(text) => Some(text.clone()),
            _ => None,
        });
        texts
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(key, "an array of strings"))
    }

    fn numbers(&self, key: &str) -> Result<Vec<f32>, TokenizerError> {
        let values = self.array(key)?.ok_or_else(|| self.wrong(key, "there"))?;
        let numbers = values.iter().map(|value| match value {
            Value::F32(number) => Some(*number),
            _ => None,
        });
        numbers
            .collect::<Option<_>>()
            .ok_or_else(|| self.wrong(key, "an array of f32"))
    }

    fn whole_numbers(&self, key: &str) -> Result<Option<Vec<i64>>, TokenizerError> {
        let Some(values) = self.array(key)? else {
            return Ok(None);
        };
        let numbers = values.iter().map(crate::language_model::whole);
        numbers
            .collect::<Option<_>>()
            .map(Some)
            .ok_or_else(|| self.wrong(key, "an array of whole numbers"))
    }

    fn id(&self, key: &str) -> Option<u32> {
        crate::language_model::whole(self.file.metadata().get(key)?)?
            .try_into()
            .ok()
    }
}
