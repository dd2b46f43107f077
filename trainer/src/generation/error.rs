//! What can go wrong while text is written.

use crate::language_model::LanguageModelError;
use crate::tokenizer::TokenizerError;
use std::path::PathBuf;
use tch::TchError;
use trainmaster_domain::run::journal::{Failure, FailureClass};

/// Text could not be written.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The model failed.
    #[error(transparent)]
    Model(#[from] LanguageModelError),
    /// The tokenizer failed.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// libtorch failed outside the model.
    #[error("libtorch failed while it {doing}: {source}")]
    Torch {
        /// What it was doing.
        doing: &'static str,
        /// What it said.
        source: TchError,
    },
    /// A file beside the model that cannot be read.
    #[error("{path} cannot be read ({detail}); fetch the model again")]
    Convention {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// There is no chat template.
    #[error(
        "the model has no chat template; give chat=false, and the text goes on from the prompt as it is"
    )]
    NoChatTemplate,
    /// A chat template that cannot be applied.
    #[error(
        "the model's chat template cannot be applied ({detail}); give chat=false, and the text goes on from the prompt as it is"
    )]
    ChatTemplate {
        /// What is wrong with it.
        detail: String,
    },
    /// The tokenizer makes nothing of the prompt.
    #[error("the prompt has no tokens, so there is nothing to go on from; give another prompt")]
    NoTokens,
    /// No room for a single token.
    #[error(
        "the prompt has {tokens} tokens and the model's context has room for {context}, of which one must be left; shorten the prompt"
    )]
    PromptTooLong {
        /// Of the prompt.
        tokens: usize,
        /// Of the model.
        context: i64,
    },
    /// The model no longer computes numbers.
    #[error(
        "the logits of token {token} are not numbers; where the text is steered, lower the coefficients"
    )]
    NotFinite {
        /// The token that was to be drawn, counted from 1.
        token: u32,
    },
}

impl GenerationError {
    /// The line of the journal.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let (class, code) = match self {
            Self::Model(error) => return error.failure(),
            Self::Tokenizer(error) => return error.failure(),
            Self::Torch { .. } => (FailureClass::Infrastructure, "internal"),
            Self::Convention { .. } => (FailureClass::Workload, "file_malformed"),
            Self::NoChatTemplate | Self::ChatTemplate { .. } => {
                (FailureClass::Workload, "chat_template")
            }
            Self::NoTokens => (FailureClass::Workload, "prompt_empty"),
            Self::PromptTooLong { .. } => (FailureClass::Workload, "prompt_too_long"),
            Self::NotFinite { .. } => (FailureClass::Workload, "logits_not_finite"),
        };
        Failure {
            class,
            code: code.to_owned(),
            message: self.to_string(),
        }
    }
}
