//! Features: what the latents of trained autoencoders stand for, found in one pass over a dataset.
//!
//! [`pass::Pass`] runs the language model up to the deepest site and keeps, of each latent, how often and how strongly it is active
//! and its strongest [`examples`]. Memory is bounded by `top_k · latents` (see [`examples::Examples`]) whatever the dataset's length.

pub mod active;
pub mod artifact;
pub mod examples;
pub mod label;
pub mod pass;
pub mod passage;
pub mod probes;
pub mod representation;
pub mod sample;
pub mod score;
pub mod sentence_encoder;
pub mod statistics;
pub mod token_text;
