//! What can be said of images.

use super::{PageArguments, RequestArguments, assignment, placement::PlacementArguments};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// A network that segments images is wanted.
#[derive(Debug, Args)]
pub struct SegmentArguments {
    /// A directory of images (.nii, .nii.gz, .png), or one image
    #[arg(long, value_name = "PATH")]
    pub images: PathBuf,
    /// Their labels: a directory with a file of the same name for each
    #[arg(long, value_name = "PATH")]
    pub labels: PathBuf,
    /// What to call it [default: the name of the directory that holds them]
    #[arg(long)]
    pub name: Option<String>,
    /// Deal the images into so many folds, and train a network for each on the others: a cross-validation
    #[arg(long, value_name = "COUNT")]
    pub folds: Option<u16>,
    /// A JSON file of settings
    #[arg(long, value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// A setting, such as diceWeight=0.7; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// Steps [default: 2000]
    #[arg(long)]
    pub steps: Option<u32>,
    /// Images (slices of volumes) in a step [default: 8]
    #[arg(long)]
    pub batch_size: Option<u32>,
    /// Height and width in pixels of the part of an image that a step sees [default: 128]
    #[arg(long, value_name = "PIXELS")]
    pub patch_size: Option<u32>,
    /// Classes, the background included [default: the largest label and one]
    #[arg(long)]
    pub classes: Option<u32>,
    /// Channels of the U-Net's first level [default: 16]
    #[arg(long, value_name = "CHANNELS")]
    pub base_channels: Option<u32>,
    /// Levels of the U-Net below the first [default: 3]
    #[arg(long, value_name = "LEVELS")]
    pub depth: Option<u32>,
    /// Peak learning rate [default: 0.001]
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Fraction of the images that is held out, without folds [default: 0.2]
    #[arg(long, value_name = "FRACTION", conflicts_with = "folds")]
    pub held_out: Option<f64>,
    /// Take the images as they are: do not flip, turn, scale or change them
    #[arg(long)]
    pub no_augmentation: bool,
    /// Seed of initialisation, order, augmentation and held-out images [default: 42]
    #[arg(long)]
    pub seed: Option<u64>,
    /// A checkpoint, and a measurement on held-out images, every so many steps [default: 200]
    #[arg(long, value_name = "STEPS")]
    pub checkpoint_interval: Option<u32>,
    /// Metrics every so many steps [default: 10]
    #[arg(long, value_name = "STEPS")]
    pub log_interval: Option<u32>,
    /// The request.
    #[command(flatten)]
    pub request: RequestArguments,
    /// Where.
    #[command(flatten)]
    pub placement: PlacementArguments,
}

/// Segmentation trainings.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SegmentationsArguments {
    /// Something else than a list.
    #[command(subcommand)]
    pub command: Option<SegmentationsCommand>,
    /// Which rows.
    #[command(flatten)]
    pub page: PageArguments,
}

/// One segmentation training.
#[derive(Debug, Subcommand)]
pub enum SegmentationsCommand {
    /// List segmentation trainings, the newest first, as without a subcommand
    Ls(PageArguments),
    /// Show a segmentation training
    Show {
        /// Its id
        id: String,
    },
}

/// Cross-validations.
#[derive(Debug, Args)]
pub struct CrossValidationArguments {
    /// Its id; without: list cross-validations, the newest first
    pub id: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "ROWS", default_value_t = 50)]
    pub limit: u32,
    /// Wait until all folds have ended
    #[arg(long, requires = "id")]
    pub wait: bool,
    /// How long to wait, in seconds
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 3600,
        requires = "wait"
    )]
    pub timeout: u64,
}

/// Images that are to be segmented.
#[derive(Debug, Args)]
pub struct PredictArguments {
    /// By which model: its id, its name, or the training that it comes from
    pub model: String,
    /// Images, and directories of images
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Labels to compare with, called as the images are
    #[arg(long, value_name = "PATH")]
    pub labels: Option<PathBuf>,
    /// The directory that the predictions are written to [default: one of the daemon's]
    #[arg(long, short, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// The request.
    #[command(flatten)]
    pub request: RequestArguments,
    /// Where.
    #[command(flatten)]
    pub placement: PlacementArguments,
}
