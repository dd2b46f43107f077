//! Language models of the Llama family: loaded from a GGUF file or a Hugging Face directory, run forward with hooks.
//!
//! [`LanguageModel::load`] reads as many layers as are asked for; [`LanguageModel::activations`] runs them up to the deepest
//! hook and no further. [`inspect`] looks at a model's files without computing anything.

mod attention;
mod checkpoint;
mod config;
mod error;
mod gguf;
mod hugging_face;
mod inspect;
mod linear;
mod llama;
mod rotary;
mod rows;

pub use checkpoint::Checkpoint;
pub use config::{LlamaConfig, RopeScaling};
pub use error::LanguageModelError;
pub use gguf::Gguf;
pub(crate) use gguf::whole;
pub use hugging_face::HuggingFace;
pub use inspect::inspect;
pub use llama::{LanguageModel, LoadOptions};

use trainmaster_domain::hyperparameters::Hook;

/// A place in a language model whose activations can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookPoint {
    /// The layer, counted from 0.
    pub layer: usize,
    /// Where in it.
    pub hook: Hook,
}
