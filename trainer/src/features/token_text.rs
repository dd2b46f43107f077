//! What each token of a vocabulary says, spaces included.

use crate::tokenizer::{Tokenizer, TokenizerError};

/// What takes the place of bytes that are not text by themselves.
const REPLACEMENT: char = '\u{FFFD}';

/// The text of each token, and of tokens together.
pub struct TokenTexts {
    tokenizer: Tokenizer,
    texts: Vec<Box<str>>,
}

impl TokenTexts {
    /// Of a tokenizer's whole vocabulary.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn new(tokenizer: Tokenizer) -> Result<Self, TokenizerError> {
        // Some decoders take the space from the first token of a text, so each is decoded behind another.
        let anchor = tokenizer.encode("a")?;
        let before = tokenizer.decode(&anchor)?;
        let mut ids = anchor.clone();
        let mut texts = Vec::with_capacity(tokenizer.id_bound() as usize);
        for id in 0..tokenizer.id_bound() {
            ids.truncate(anchor.len());
            ids.push(id);
            let together = tokenizer.decode(&ids)?;
            let text = match together.strip_prefix(&before) {
                Some(text) => text.to_owned(),
                None => tokenizer.decode(&[id])?,
            };
            texts.push(text.into_boxed_str());
        }
        Ok(Self { tokenizer, texts })
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.tokenizer.encode(text)
    }

    /// The text of a token; bytes that are no text by themselves are a replacement character.
    #[must_use]
    pub fn of(&self, id: u32) -> &str {
        self.texts.get(id as usize).map_or("", AsRef::as_ref)
    }

    /// The text of tokens that follow one another.
    ///
    /// # Errors
    /// [`TokenizerError`].
    pub fn of_all(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let text: String = ids.iter().map(|id| self.of(*id)).collect();
        if text.contains(REPLACEMENT) {
            // Characters that several tokens make together.
            return self.tokenizer.decode(ids);
        }
        Ok(text)
    }
}
