//! Text and jobs.

use super::{PageArguments, RequestArguments, placement::PlacementArguments};
use clap::{Args, Subcommand};

/// Text that is wanted.
#[derive(Debug, Args)]
pub struct GenerateArguments {
    /// What the model goes on from; - reads it from standard input
    pub prompt: String,
    /// Which model writes: its id or name [default: the one that the training read]
    #[arg(long, short)]
    pub model: Option<String>,
    /// Steer as this preset says: its id or name
    #[arg(long, short, conflicts_with_all = ["training", "features", "latents"])]
    pub preset: Option<String>,
    /// Steer by features of this training
    #[arg(long, short)]
    pub training: Option<String>,
    /// A feature's id, and how strongly it steers (-300 to 300, in units of its maximum); may be repeated
    #[arg(long = "feature", value_name = "ID=COEFFICIENT", value_parser = weighted, requires = "training", allow_hyphen_values = true)]
    pub features: Vec<(i64, f64)>,
    /// The same, the feature named by its latent
    #[arg(long = "latent", value_name = "NUMBER=COEFFICIENT", value_parser = weighted, requires = "training", allow_hyphen_values = true)]
    pub latents: Vec<(i64, f64)>,
    /// After which layer features are added [default: the preset's, or the features' own]
    #[arg(long)]
    pub layer: Option<u32>,
    /// Ask the prompt as a user would in a chat, by the model's chat template
    #[arg(long)]
    pub chat: bool,
    /// Tokens to write, at most [default: 100]
    #[arg(long, value_name = "TOKENS")]
    pub max_tokens: Option<u32>,
    /// How adventurous: 0 always takes the likeliest token [default: 0.7]
    #[arg(long)]
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that have this probability together [default: 1]
    #[arg(long, value_name = "PROBABILITY")]
    pub top_p: Option<f64>,
    /// Only so many of the likeliest tokens; 0: all [default: 0]
    #[arg(long, value_name = "TOKENS")]
    pub top_k: Option<u32>,
    /// Above 1: what was written is less likely to be written again [default: 1]
    #[arg(long, value_name = "FACTOR")]
    pub repetition_penalty: Option<f64>,
    /// The same seed writes the same text again [default: 42]
    #[arg(long)]
    pub seed: Option<u64>,
    /// A name for this request: given again, the request is not done again
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Where.
    #[command(flatten)]
    pub placement: PlacementArguments,
}

/// Jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, the newest first
    Ls {
        /// Which rows.
        #[command(flatten)]
        page: PageArguments,
        /// Only those of this kind: extraction, generation or prediction
        #[arg(long)]
        kind: Option<String>,
        /// Only those about this training
        #[arg(long)]
        training: Option<String>,
    },
    /// Show a job
    Show {
        /// Its id
        id: String,
    },
    /// End a job; nothing of it is kept
    Cancel {
        /// Its id
        id: String,
        /// The request.
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Try a failed job again
    Retry {
        /// Its id
        id: String,
        /// The request.
        #[command(flatten)]
        request: RequestArguments,
    },
}

/// `42=2.5`.
fn weighted(text: &str) -> Result<(i64, f64), String> {
    let wrong = || format!("{text:?} is not a number and a coefficient, such as 42=2.5");
    let (number, coefficient) = text.split_once('=').ok_or_else(wrong)?;
    Ok((
        number.parse().map_err(|_| wrong())?,
        coefficient
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .ok_or_else(wrong)?,
    ))
}
