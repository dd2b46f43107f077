//! The loop: a token, its text, the next token.

use super::{Conventions, GenerationError, Pieces, Sampler, as_conversation};
use crate::language_model::{Intervene, KvCache, LanguageModel};
use crate::tokenizer::Tokenizer;
use std::ops::ControlFlow;
use std::path::Path;
use tch::{Kind, Tensor};
use trainmaster_domain::run::journal::{Completion, CompletionEnd};
use trainmaster_domain::run::spec::Sampling;

/// The longest text, in bytes as JSON. It ends as one that is as long as was asked for: two of them fit in a line of the journal.
pub const MAX_TEXT_BYTES: usize = 120 * 1024;

/// A language model that writes. Memory beside the model's: the key-value cache of prompt and text, at most the model's context.
pub struct Writer<'a> {
    model: &'a LanguageModel,
    tokenizer: &'a Tokenizer,
    conventions: Conventions,
}

impl<'a> Writer<'a> {
    /// A writer with the model and tokenizer of `path`.
    ///
    /// # Errors
    /// What is wrong with the files that say what begins and ends a text.
    pub fn new(
        path: &Path,
        model: &'a LanguageModel,
        tokenizer: &'a Tokenizer,
    ) -> Result<Self, GenerationError> {
        Ok(Self {
            conventions: Conventions::of(path, tokenizer)?,
            model,
            tokenizer,
        })
    }

    /// The tokens of a prompt. `chat` wraps it as a user's turn that the model answers; special tokens that are spelt out in the prompt
    /// are read as such.
    ///
    /// # Errors
    /// [`GenerationError`]: of a chat template above all, or that nothing can be written behind it.
    pub fn prompt(&self, text: &str, chat: bool) -> Result<Vec<u32>, GenerationError> {
        let tokens = if chat {
            self.tokenizer
                .encode(&as_conversation(&self.conventions, text)?)?
        } else {
            let text = self.tokenizer.encode(text)?;
            self.conventions.begin.into_iter().chain(text).collect()
        };
        let context = self.model.config().max_position_embeddings;
        if tokens.is_empty() {
            return Err(GenerationError::NoTokens);
        }
        if tokens.len() as i64 >= context {
            return Err(GenerationError::PromptTooLong {
                tokens: tokens.len(),
                context,
            });
        }
        Ok(tokens)
    }

    /// Writes on from `prompt`. `intervene` acts at every position, those of the prompt included. `watch` is told each piece of text and
    /// how many tokens there are; when it breaks off, there is no completion.
    ///
    /// # Errors
    /// [`GenerationError`].
    pub fn write(
        &self,
        prompt: &[u32],
        sampling: &Sampling,
        intervene: &mut Intervene<'_>,
        watch: &mut dyn FnMut(&str, u32) -> ControlFlow<()>,
    ) -> Result<Option<Completion>, GenerationError> {
        let room = self.model.config().max_position_embeddings - prompt.len() as i64;
        let most = room.clamp(0, i64::from(sampling.max_new_tokens)) as u32;
        let mut cache = KvCache::new(self.model, 1, prompt.len() as i64 + i64::from(most))?;
        let mut sampler = Sampler::new(sampling, prompt);
        let mut pieces = Pieces::new(self.tokenizer, prompt);
        let mut text = Text::default();
        let mut next = prompt.to_vec();
        let mut written = 0;
        let ended = loop {
            if written == most {
                break if most == sampling.max_new_tokens {
                    CompletionEnd::Length
                } else {
                    CompletionEnd::Context
                };
            }
            let mut logits = self.logits(&next, &mut cache, intervene)?;
            let token = sampler
                .draw(&mut logits)
                .ok_or(GenerationError::NotFinite { token: written + 1 })?;
            if self.conventions.ends.contains(&token) {
                break CompletionEnd::EndOfText;
            }
            let piece = pieces.push(token)?;
            if !text.push(&piece) {
                break CompletionEnd::Length;
            }
            written += 1;
            if watch(&piece, written).is_break() {
                return Ok(None);
            }
            next = vec![token];
        };
        let rest = pieces.rest()?;
        if !rest.is_empty() && text.push(&rest) && watch(&rest, written).is_break() {
            return Ok(None);
        }
        Ok(Some(Completion {
            text: text.text,
            tokens: written,
            ended,
        }))
    }

    /// The logits of the token behind `new`, for each token of the vocabulary.
    fn logits(
        &self,
        new: &[u32],
        cache: &mut KvCache,
        intervene: &mut Intervene<'_>,
    ) -> Result<Vec<f32>, GenerationError> {
        let failed = |source| GenerationError::Torch {
            doing: "read logits",
            source,
        };
        let ids: Vec<i64> = new.iter().map(|token| i64::from(*token)).collect();
        let tokens = Tensor::f_from_slice(&ids)
            .and_then(|ids| ids.f_unsqueeze(0))
            .map_err(failed)?;
        let logits = self.model.next_logits(&tokens, cache, intervene)?;
        logits
            .f_get(0)
            .and_then(|logits| logits.f_to_kind(Kind::Float))
            .and_then(|logits| Vec::<f32>::try_from(&logits))
            .map_err(failed)
    }
}

/// Text that is not longer than [`MAX_TEXT_BYTES`] as JSON.
#[derive(Default)]
struct Text {
    text: String,
    bytes_as_json: usize,
}

impl Text {
    /// Adds a piece, if there is room for it.
    fn push(&mut self, piece: &str) -> bool {
        let escaped = |c: char| match c {
            '"' | '\\' | '\n' | '\r' | '\t' => 2,
            '\0'..'\u{20}' => 6,
            other => other.len_utf8(),
        };
        let more: usize = piece.chars().map(escaped).sum();
        if self.bytes_as_json + more > MAX_TEXT_BYTES {
            return false;
        }
        self.bytes_as_json += more;
        self.text.push_str(piece);
        true
    }
}
