//! Templates and presets.

use super::assignment;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What can be done with a kind of thing that is kept.
#[derive(Debug, Subcommand)]
pub enum KeptCommand<Create: Args, Change: Args, Filter: Args> {
    /// List them, the newest first
    Ls {
        /// Which.
        #[command(flatten)]
        filter: Filter,
        /// At most so many
        #[arg(long, short = 'n', value_name = "ROWS", default_value_t = 50)]
        limit: u32,
    },
    /// Show one
    Show {
        /// Its id, or its name
        id: String,
    },
    /// Make one
    Create {
        /// What it says.
        #[command(flatten)]
        what: Create,
        /// A name for this request: given again, the request is not done again
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Change one: what is not given stays
    Update {
        /// Its id
        id: String,
        /// What is to be different.
        #[command(flatten)]
        what: Change,
    },
    /// Mark one, or unmark it
    Favorite {
        /// Its id
        id: String,
        /// Unmark it
        #[arg(long)]
        off: bool,
    },
    /// Delete one
    Delete {
        /// Its id
        id: String,
    },
}

/// Training templates.
pub type TemplateCommand =
    KeptCommand<CreateTemplateArguments, TemplateArguments, FavoriteArguments>;
/// Extraction templates.
pub type ExtractionTemplateCommand =
    KeptCommand<CreateExtractionTemplateArguments, ExtractionTemplateArguments, FavoriteArguments>;
/// Presets.
pub type PresetCommand = KeptCommand<CreatePresetArguments, PresetArguments, PresetFilterArguments>;

/// Marked or not.
#[derive(Clone, Debug, Args)]
pub struct FavoriteArguments {
    /// Only those that are marked
    #[arg(long)]
    pub favorite: bool,
}

/// Of which training.
#[derive(Clone, Debug, Args)]
pub struct PresetFilterArguments {
    /// Only those of this training (its id)
    #[arg(long)]
    pub training: Option<String>,
}

/// A new training template.
#[derive(Debug, Args)]
pub struct CreateTemplateArguments {
    /// What to call it
    pub called: String,
    /// The rest.
    #[command(flatten)]
    pub rest: TemplateArguments,
}

/// What a training template says.
#[derive(Debug, Args)]
pub struct TemplateArguments {
    /// What to call it
    #[arg(long)]
    pub name: Option<String>,
    /// What it is for
    #[arg(long)]
    pub description: Option<String>,
    /// The model that it is tuned for: an id or a name; "" for any
    #[arg(long, short)]
    pub model: Option<String>,
    /// The dataset that it is tuned for: an id or a name; "" for any
    #[arg(long, short)]
    pub dataset: Option<String>,
    /// Which kind of autoencoder: sparse, skip or transcoder
    #[arg(long, value_name = "TYPE")]
    pub encoder_type: Option<String>,
    /// A JSON file of hyperparameters
    #[arg(long, value_name = "FILE")]
    pub hyperparameters: Option<PathBuf>,
    /// A hyperparameter, such as learningRate=0.001; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

/// A new extraction template.
#[derive(Debug, Args)]
pub struct CreateExtractionTemplateArguments {
    /// What to call it
    pub called: String,
    /// The rest.
    #[command(flatten)]
    pub rest: ExtractionTemplateArguments,
}

/// What an extraction template says.
#[derive(Debug, Args)]
pub struct ExtractionTemplateArguments {
    /// What to call it
    #[arg(long)]
    pub name: Option<String>,
    /// What it is for
    #[arg(long)]
    pub description: Option<String>,
    /// Layers, counted from 0, such as 4,5,6
    #[arg(long, value_delimiter = ',')]
    pub layers: Vec<u32>,
    /// Where in them: residual, mlp, attention
    #[arg(long, value_delimiter = ',')]
    pub hooks: Vec<String>,
    /// Packed sequences to read; 0: all
    #[arg(long, value_name = "SEQUENCES")]
    pub max_samples: Option<u32>,
    /// Strongest examples that are kept of each feature
    #[arg(long, value_name = "EXAMPLES")]
    pub top_k_examples: Option<u32>,
}

/// A new preset.
#[derive(Debug, Args)]
pub struct CreatePresetArguments {
    /// What to call it
    pub called: String,
    /// The training whose features steer: its id
    #[arg(long, short)]
    pub training: String,
    /// The rest.
    #[command(flatten)]
    pub rest: PresetArguments,
}

/// What a preset says.
#[derive(Debug, Args)]
pub struct PresetArguments {
    /// What to call it
    #[arg(long)]
    pub name: Option<String>,
    /// What it is for
    #[arg(long)]
    pub description: Option<String>,
    /// A feature's id and how strongly it steers, -300 to 300, such as 17042=2.5; may be repeated, and replaces all
    #[arg(long = "feature", value_name = "ID=COEFFICIENT", value_parser = steering)]
    pub features: Vec<(i64, f64)>,
    /// The layer at which the residual stream is changed, counted from 0
    #[arg(long)]
    pub layer: Option<u32>,
}

fn steering(text: &str) -> Result<(i64, f64), String> {
    text.split_once('=')
        .and_then(|(id, coefficient)| {
            Some((id.trim().parse().ok()?, coefficient.trim().parse().ok()?))
        })
        .filter(|(_, coefficient): &(i64, f64)| coefficient.is_finite())
        .ok_or_else(|| "it must be ID=COEFFICIENT, such as 17042=2.5".to_owned())
}
