//! Sparse autoencoders: training them, keeping and reading them.

pub mod activations;
pub mod checkpoint;
pub mod gradient;
pub mod metrics;
pub mod mixing_buffer;
pub mod normalization;
pub mod parameters;
pub mod precision;
pub mod resampling;
pub mod sae_lens;
pub mod schedule;
pub mod training;
mod workspace;

pub use sae_lens::Autoencoder;
