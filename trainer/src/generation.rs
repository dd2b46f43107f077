//! Writing text with a language model, token by token, with and without an intervention.
//!
//! [`Writer`] holds what the model needs for it: the [`Conventions`] of its files (what begins and ends a text, how a conversation
//! looks), and a key-value cache that one text after the other uses. [`Sampler`] draws tokens, [`SteeringVector`] is added to the
//! residual stream.

mod chat_template;
mod conventions;
mod error;
mod pieces;
mod sampler;
mod steering_vector;
mod writer;

pub use chat_template::as_conversation;
pub use conventions::Conventions;
pub use error::GenerationError;
pub use pieces::Pieces;
pub use sampler::Sampler;
pub use steering_vector::SteeringVector;
pub use writer::{MAX_TEXT_BYTES, Writer};
