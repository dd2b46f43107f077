//! Files that a run leaves for read models to import: Parquet files whose rows become rows of tables.
//!
//! `features.parquet`, a row for each latent that is a feature, ascending by `neuron_index`:
//!
//! | column | type | |
//! |---|---|---|
//! | `neuron_index` | INT32, required | the latent, counted through all the training's autoencoders in the order of its sites |
//! | `layer` | INT32, required | of the language model |
//! | `hook` | UTF8, required | `residual`, `mlp` or `attention` |
//! | `activation_frequency` | DOUBLE, required | 0 to 1: fraction of tokens on which it is above 0 |
//! | `max_activation_value` | DOUBLE, required | the largest seen |
//! | `name` | UTF8, optional | at most 500 characters |
//! | `description` | UTF8, optional | |
//! | `interpretability_score` | DOUBLE, optional | 0 to 1 |
//! | `score_components` | UTF8, optional | JSON object: a number for each component of the score |
//!
//! `activations.parquet`, a row for each example, ascending by `neuron_index`, the strongest first:
//!
//! | column | type | |
//! |---|---|---|
//! | `neuron_index` | INT32, required | as above |
//! | `dataset_sample_id` | UTF8, optional | the packed sequence: `<dataset id>/<number>` |
//! | `sample_index` | INT32, optional | its number |
//! | `tokens` | UTF8, required | JSON array of strings: the tokens of the window |
//! | `activations` | UTF8, required | JSON array of numbers, as long |
//! | `max_activation` | DOUBLE, required | the largest of them |
//! | `context_before` | UTF8, optional | text of the window before the strongest token |
//! | `context_after` | UTF8, optional | text after it |
//!
//! Row groups have at most [`ROWS_PER_GROUP`] rows, so that a reader needs memory for no more.

/// The file of features in an extraction's result directory.
pub const FEATURES: &str = "features.parquet";

/// The file of activations in an extraction's result directory.
pub const ACTIVATIONS: &str = "activations.parquet";

/// The most rows of a row group.
pub const ROWS_PER_GROUP: usize = 8_192;
