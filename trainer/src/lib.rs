//! The trainer as a library, so that tests and benches reach its parts.

pub mod autoencoder;
pub mod dataset;
pub mod doctor;
pub mod features;
pub mod generation;
pub mod hub;
pub mod language_model;
pub mod learning_rate;
pub mod optimizer;
pub mod random;
pub mod random_order;
pub mod run;
pub mod segmentation;
pub mod slurm;
pub mod tensor_file;
pub mod tokenizer;

/// The version of libtorch that this trainer was built against.
pub const LIBTORCH_VERSION: &str = match option_env!("LIBTORCH_VERSION") {
    Some(version) => version,
    None => "unknown",
};
