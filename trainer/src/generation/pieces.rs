//! Text in pieces, as its tokens come.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// Tokens before a piece that are decoded with it: decoders treat the first token of a text in a way of their own.
const CONTEXT: usize = 4;

/// Tokens after which an incomplete character is given up: no character has more bytes than 4, no byte more tokens than 1.
const PATIENCE: usize = 8;

/// Turns tokens into text that can be shown at once: what could still become another character is held back.
pub struct Pieces<'a> {
    tokenizer: &'a Tokenizer,
    /// Tokens that have been shown, as context, and tokens that have not.
    tokens: Vec<u32>,
    shown: usize,
}

impl<'a> Pieces<'a> {
    /// Text that goes on from `prompt`.
    #[must_use]
    pub fn new(tokenizer: &'a Tokenizer, prompt: &[u32]) -> Self {
        let tokens = prompt[prompt.len().saturating_sub(CONTEXT)..].to_vec();
        Self {
            tokenizer,
            shown: tokens.len(),
            tokens,
        }
    }

    /// Adds a token, and returns the text that is complete now, which may be none.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn push(&mut self, token: u32) -> Result<String, TokenizerError> {
        self.tokens.push(token);
        let text = self.held_back()?;
        let is_complete = !text.ends_with(char::REPLACEMENT_CHARACTER);
        if is_complete || self.tokens.len() - self.shown >= PATIENCE {
            self.show();
            Ok(text)
        } else {
            Ok(String::new())
        }
    }

    /// The text that was held back, whatever it is.
    ///
    /// # Errors
    /// [`TokenizerError::Encode`]
    pub fn rest(&mut self) -> Result<String, TokenizerError> {
        let text = self.held_back()?;
        self.show();
        Ok(text)
    }

    fn held_back(&self) -> Result<String, TokenizerError> {
        if self.shown == self.tokens.len() {
            return Ok(String::new());
        }
        let before = self.tokenizer.decode(&self.tokens[..self.shown])?;
        let with = self.tokenizer.decode(&self.tokens)?;
        Ok(match with.strip_prefix(before.as_str()) {
            Some(new) => new.to_owned(),
            // A decoder that reads what it has read otherwise now: what is common has been shown.
            None => {
                let common = before.chars().zip(with.chars()).take_while(|(a, b)| a == b);
                with.chars().skip(common.count()).collect()
            }
        })
    }

    fn show(&mut self) {
        let first = self.tokens.len().saturating_sub(CONTEXT);
        self.tokens.drain(..first);
        self.shown = self.tokens.len();
    }
}
