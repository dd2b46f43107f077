//! Language models of several families: loaded from a GGUF file or a Hugging Face directory, run forward with hooks.
//!
//! [`LanguageModel::load`] reads as many layers as are asked for; [`LanguageModel::activations`] runs them up to the deepest
//! hook and no further, [`LanguageModel::logits_with`] runs the whole with interventions, and [`LanguageModel::next_logits`] one token
//! after the other with a [`KvCache`]. [`inspect`] looks at a model's files without computing anything, and
//! [`quantize()`] makes a smaller model of one.

mod activation;
mod attention;
mod checkpoint;
mod config;
mod cross_entropy;
mod error;
mod family;
mod forward;
mod gguf;
mod hook;
mod hugging_face;
mod inspect;
mod kv_cache;
mod linear;
mod loader;
mod logit_lens;
mod mlp;
mod model;
mod norm;
mod plan;
mod quantize;
mod quantized_directory;
mod quantized_weight;
mod rope_json;
mod rotary;
mod rows;
mod safetensors_file;
mod self_attention;
mod table;

pub use activation::Activation;
pub use checkpoint::Checkpoint;
pub use config::{ModelConfig, RopeScaling, RotaryConfig};
pub use cross_entropy::NextTokenLoss;
pub use error::LanguageModelError;
pub use family::Family;
pub use gguf::Gguf;
pub(crate) use gguf::whole;
pub use hook::{HookPoint, Intervene, Site};
pub use hugging_face::HuggingFace;
pub use inspect::inspect;
pub use kv_cache::KvCache;
pub use model::{LanguageModel, LoadOptions};
pub use quantize::{QuantizedFiles, quantize};
pub use quantized_directory::QuantizedDirectory;
