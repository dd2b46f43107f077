//! What can be said about features.

use super::{RequestArguments, placement::PlacementArguments};
use clap::{ArgGroup, Args, Subcommand};
use std::path::PathBuf;

/// An extraction that is wanted.
#[derive(Debug, Args)]
pub struct ExtractArguments {
    /// The training whose autoencoders are looked at
    pub training: String,
    /// On which text: a dataset's id or name [default: the training's]
    #[arg(long, short)]
    pub dataset: Option<String>,
    /// An extraction template's id or name, for what is not said here
    #[arg(long)]
    pub template: Option<String>,
    /// Only autoencoders of this layer; may be repeated
    #[arg(long = "layer", value_name = "LAYER")]
    pub layers: Vec<u32>,
    /// Only autoencoders of this hook: residual, mlp or attention; may be repeated
    #[arg(long = "hook", value_name = "HOOK")]
    pub hook_types: Vec<String>,
    /// Packed sequences to read, spread over the dataset [default: 10000]
    #[arg(long, value_name = "SEQUENCES")]
    pub max_samples: Option<u64>,
    /// Strongest examples to keep of each feature [default: 100]
    #[arg(long, value_name = "EXAMPLES")]
    pub top_k_examples: Option<u32>,
    /// Tokens on either side of an example's strongest token [default: 25]
    #[arg(long, value_name = "TOKENS")]
    pub context_tokens: Option<u32>,
    /// Latents that are active on a smaller fraction of tokens are not features [default: 0.001]
    #[arg(long, value_name = "FREQUENCY")]
    pub minimum_frequency: Option<f64>,
    /// The request.
    #[command(flatten)]
    pub request: RequestArguments,
    /// Where.
    #[command(flatten)]
    pub placement: PlacementArguments,
}

/// Features.
#[derive(Debug, Subcommand)]
pub enum FeatureCommand {
    /// List features of a training
    Ls(Box<FeatureListArguments>),
    /// Show a feature and its strongest examples
    Show {
        /// Its number
        id: i64,
        /// So many examples
        #[arg(long, short = 'n', value_name = "EXAMPLES", default_value_t = 10)]
        examples: u32,
    },
    /// Call a feature something
    Name {
        /// Its number
        id: i64,
        /// The name; empty: none of a person's any more
        name: String,
    },
    /// Say what a feature stands for
    Describe {
        /// Its number
        id: i64,
        /// The description; empty: none of a person's any more
        description: String,
    },
    /// Mark a feature as one to return to
    Favorite {
        /// Its number
        id: i64,
        /// Take the mark back
        #[arg(long)]
        undo: bool,
    },
    /// Leave a feature out of lists
    Hide {
        /// Its number
        id: i64,
        /// Show it again
        #[arg(long)]
        undo: bool,
    },
    /// Write the features of a training to a Parquet file
    Export {
        /// The training's id
        training: String,
        /// The file [default: <training>.features.parquet here]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Which features, in which order.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("ends").args(["asc", "desc"]))]
pub struct FeatureListArguments {
    /// The training's id
    pub training: String,
    /// frequency, score, neuron or max, or a column's name
    #[arg(long, default_value = "frequency")]
    pub sort: String,
    /// The least first
    #[arg(long)]
    pub asc: bool,
    /// The greatest first
    #[arg(long)]
    pub desc: bool,
    /// Only those of this layer
    #[arg(long)]
    pub layer: Option<i32>,
    /// Only favourites
    #[arg(long)]
    pub favorite: bool,
    /// Hidden ones too
    #[arg(long)]
    pub all: bool,
    /// Only hidden ones
    #[arg(long, conflicts_with = "all")]
    pub hidden: bool,
    /// Only those at least so frequent, 0 to 1
    #[arg(long, value_name = "FREQUENCY")]
    pub min_frequency: Option<f64>,
    /// Only those at most so frequent, 0 to 1
    #[arg(long, value_name = "FREQUENCY")]
    pub max_frequency: Option<f64>,
    /// Only those whose name or description has these words
    #[arg(long, short, value_name = "WORDS")]
    pub search: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "ROWS", default_value_t = 50)]
    pub limit: u32,
}
