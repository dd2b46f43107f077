//! What can be said on the command line.

mod archive;
pub mod backup;
mod doctor;
mod features;
pub mod generate;
pub mod history;
pub mod images;
pub mod kept;
pub mod log;
pub mod placement;
pub mod slurm;

pub use archive::ArchiveArguments;
pub use doctor::DoctorArguments;
pub use features::{ExtractArguments, FeatureCommand, FeatureListArguments};

use clap::{Args, Parser, Subcommand};
use generate::{GenerateArguments, JobCommand};
use kept::{ExtractionTemplateCommand, PresetCommand, TemplateCommand};
use std::path::PathBuf;

/// Trains sparse autoencoders on the activations of language models, from an append-only log of everything that happens.
#[derive(Debug, Parser)]
#[command(
    name = "trainmaster",
    version,
    about,
    after_help = "Exit codes: 0 done, 1 refused or failed, 2 not understood, 3 no daemon answers, 4 no such thing,\n\
                  5 waited too long, 6 a watched training came to rest before its end."
)]
pub struct Cli {
    /// Where the daemon is, and how answers are printed.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the daemon is, and how answers are printed.
#[derive(Clone, Debug, Args)]
pub struct Connection {
    /// The daemon's state directory [default: that of its configuration]
    #[arg(long, global = true, env = "TRAINMASTER_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The daemon's Unix socket [default: run/trainmaster.sock in the state directory]
    #[arg(long, global = true, env = "TRAINMASTER_SOCKET", value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// The daemon's address over TCP, such as http://127.0.0.1:7423, instead of its socket
    #[arg(long, global = true, env = "TRAINMASTER_URL", value_name = "URL")]
    pub url: Option<String>,
    /// A file that holds the bearer token for --url; else $TRAINMASTER_TOKEN is used
    #[arg(
        long,
        global = true,
        env = "TRAINMASTER_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon
    Serve(ServerArguments),
    /// Bring the database's schema up to date, take it back, or say how far it is
    #[command(subcommand)]
    Migrate(MigrateCommand),
    /// Check or show the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check Postgres, libtorch, the disk and permissions, and say what to do
    Doctor(DoctorArguments),
    /// Backups of the log and of what belongs to it
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Go back to a backup, or to a moment after it; the daemon is stopped for it
    Restore(backup::RestoreArguments),
    /// Vacuum and analyse the database and build unusable indexes anew
    Maintenance(ServerArguments),

    /// Language models
    #[command(subcommand)]
    Model(ModelCommand),
    /// Datasets
    #[command(subcommand)]
    Dataset(DatasetCommand),
    /// Ways to train that are kept for another time
    #[command(subcommand)]
    Template(Box<TemplateCommand>),
    /// Ways to extract features that are kept for another time
    #[command(subcommand)]
    ExtractionTemplate(ExtractionTemplateCommand),
    /// Ways to steer a model that are kept for another time
    #[command(subcommand)]
    Preset(PresetCommand),
    /// List models, the newest first: short for `model ls`
    Models(SearchArguments),
    /// List datasets, the newest first: short for `dataset ls`
    Datasets(SearchArguments),
    /// Queue a training
    Train(Box<TrainArguments>),
    /// Autoencoders that come from elsewhere, or go there
    #[command(subcommand)]
    Autoencoder(AutoencoderCommand),
    /// Queue the training of a network that segments images, or a cross-validation
    Segment(Box<images::SegmentArguments>),
    /// List trainings that segment images, or show one
    Segmentations(images::SegmentationsArguments),
    /// Show what the folds of a cross-validation found, or list cross-validations
    CrossValidation(images::CrossValidationArguments),
    /// Segment images by a network that was trained here
    Predict(Box<images::PredictArguments>),
    /// Show the SLURM clusters and the jobs that runs became there
    Slurm(slurm::SlurmArguments),
    /// List trainings of autoencoders, the newest first
    Ls(ListArguments),
    /// Show a training (or a model, a dataset or a cross-validation)
    Show {
        /// Its id
        id: String,
        /// As it was then: a time (2026-01-01T12:00:00Z), a position (812-33) or how long ago ("2 hours ago")
        #[arg(long, value_name = "POINT")]
        at: Option<String>,
    },
    /// Follow a training, or the folds of a cross-validation, until it ends or rests
    Watch {
        /// Its id
        id: String,
    },
    /// Let a training rest at a checkpoint
    Pause(StateChangeArguments),
    /// Let a paused training go on
    Resume(StateChangeArguments),
    /// End a training for good, keeping its autoencoder
    Stop(StateChangeArguments),
    /// Try a failed training again
    Retry(StateChangeArguments),
    /// Find the features of a trained autoencoder
    Extract(Box<ExtractArguments>),
    /// Features of autoencoders
    #[command(subcommand)]
    Feature(FeatureCommand),
    /// Write a training's curves, evaluation and best features as one HTML page
    Report {
        /// Its id
        id: String,
        /// The file to write; - writes to standard output [default: the id, .html]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Let a model write, plain and steered by features
    Generate(Box<GenerateArguments>),
    /// Jobs: extractions, generations and predictions
    #[command(subcommand)]
    Job(JobCommand),
    /// Delete a training that does not run, with all that is its own
    Rm(RemoveArguments),
    /// What has grown old, and letting it go
    #[command(subcommand)]
    Retention(RetentionCommand),
    /// Show what happened
    Events(EventsArguments),
    /// The tables that applications read
    #[command(subcommand)]
    Projections(ProjectionsCommand),
    /// The log itself
    #[command(subcommand)]
    Log(log::LogCommand),
}

/// Settings of the server's own commands.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerArguments {
    /// The configuration file [default: $TRAINMASTER_CONFIG, else /etc/trainmaster/trainmaster.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A setting that overrides the file and the environment, such as runner.concurrency=2; may be repeated
    #[arg(long = "set", value_name = "SECTION.NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
}

/// Migrations.
#[derive(Debug, Subcommand)]
pub enum MigrateCommand {
    /// Apply what is not applied yet
    Up(ServerArguments),
    /// Take back the migrations of a set that are numbered above a number, with the data that they hold
    Down {
        /// The set of migrations
        #[arg(value_name = "SET", default_value = "log")]
        migrations: String,
        /// The number that stays; 0: none stays
        #[arg(long, value_name = "NUMBER")]
        to: i32,
        /// Settings.
        #[command(flatten)]
        server: ServerArguments,
    },
    /// Say what is applied
    Status(ServerArguments),
}

/// Settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say what is wrong with the settings, and where
    Check(ServerArguments),
    /// Print the settings as they are, secrets left out
    Show(ServerArguments),
    /// Print a configuration file with every setting, its documentation and its default
    Example,
}

/// A request's name, and whether to wait.
#[derive(Clone, Debug, Args)]
pub struct RequestArguments {
    /// A name for this request: given again, the request is not done again
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Wait until it has had its effect
    #[arg(long)]
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

/// Models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Register a model of this machine (a GGUF file or a Hugging Face directory), or of the Hugging Face hub
    Add {
        /// The file or directory; with --hub, the repository
        path: PathBuf,
        /// Fetch it from the Hugging Face hub; HF_ENDPOINT and HF_TOKEN are the daemon's
        #[arg(long)]
        hub: bool,
        /// A branch, a tag or a commit of the repository [default: main]
        #[arg(long, requires = "hub")]
        revision: Option<String>,
        /// What to call it [default: the name of the file or directory, or the repository]
        #[arg(long)]
        name: Option<String>,
        /// Its family, such as llama [default: what its files say]
        #[arg(long)]
        architecture: Option<String>,
        /// How its weights are to be held: FP32, FP16, INT8, Q8 or Q4; they are converted if they come otherwise [default:
        /// as they come]
        #[arg(long)]
        quantization: Option<String>,
        /// The request.
        #[command(flatten)]
        request: RequestArguments,
    },
    /// List models, the newest first
    Ls(SearchArguments),
    /// Show a model
    Show {
        /// Its id, or its name
        id: String,
    },
    /// Try a model that is in error again
    Retry {
        /// Its id
        id: String,
        /// The request.
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Delete a model that nothing needs
    Rm(RemoveArguments),
}

/// Autoencoders that come from elsewhere, or go there.
#[derive(Debug, Subcommand)]
pub enum AutoencoderCommand {
    /// Take an autoencoder that another program trained: a directory that SAELens wrote
    Import {
        /// The directory
        path: PathBuf,
        /// The model whose activations it reads: its id or name
        #[arg(long)]
        model: String,
        /// The dataset on which its features are to be looked for: its id or name
        #[arg(long)]
        dataset: String,
        /// Follow it until it is there
        #[arg(long)]
        watch: bool,
        /// A name for this request: given again, the request is not done again
        #[arg(long, value_name = "KEY")]
        idempotency_key: Option<String>,
    },
    /// Copy the autoencoder of a training into a new directory, which SAELens loads
    Export {
        /// The training's id
        training: String,
        /// The directory to make
        directory: PathBuf,
    },
}

/// Datasets.
#[derive(Debug, Subcommand)]
pub enum DatasetCommand {
    /// Register text: a .txt, .jsonl, .jsonl.gz, .csv, .parquet or .arrow file of this machine, a directory of them, the text
    /// that comes on standard input, or data of the Hugging Face hub
    Add {
        /// The file or directory; -: standard input, which is one document; with --hub, the repository
        path: PathBuf,
        /// Fetch it from the Hugging Face hub; HF_ENDPOINT and HF_TOKEN are the daemon's
        #[arg(long)]
        hub: bool,
        /// A branch, a tag or a commit of the repository [default: main]
        #[arg(long, requires = "hub")]
        revision: Option<String>,
        /// Only the files of this split [default: those of train, where any are called so]
        #[arg(long, requires = "hub")]
        split: Option<String>,
        /// Only the files of this subset: a directory of the repository
        #[arg(long, requires = "hub")]
        subset: Option<String>,
        /// Note it as text that you made yourself; standard input always is
        #[arg(long, conflicts_with = "hub")]
        custom: bool,
        /// The model whose tokenizer reads it: its id, or its name
        #[arg(long, value_name = "MODEL")]
        tokenizer: String,
        /// What to call it [default: the name of the file or directory]
        #[arg(long)]
        name: Option<String>,
        /// What it is
        #[arg(long)]
        description: Option<String>,
        /// For all but text files: the column that holds the text [default: text]
        #[arg(long, value_name = "COLUMN")]
        text_column: Option<String>,
        /// Tokens in a packed sequence [default: 256]
        #[arg(long, value_name = "TOKENS")]
        context_length: Option<u32>,
        /// The request.
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Tokenise a dataset that is ready for another model, too
    Tokenize {
        /// Its id
        id: String,
        /// The model whose tokenizer reads it: its id, or its name
        #[arg(long, value_name = "MODEL")]
        tokenizer: String,
        /// The request.
        #[command(flatten)]
        request: RequestArguments,
    },
    /// List datasets, the newest first
    Ls(SearchArguments),
    /// Show a dataset
    Show {
        /// Its id, or its name
        id: String,
    },
    /// Try a dataset that is in error again
    Retry {
        /// Its id
        id: String,
        /// The request.
        #[command(flatten)]
        request: RequestArguments,
    },
    /// Delete a dataset that nothing needs
    Rm(RemoveArguments),
}

/// Which rows of a list.
#[derive(Clone, Debug, Args)]
pub struct PageArguments {
    /// Only those in this status
    #[arg(long)]
    pub status: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "ROWS", default_value_t = 50)]
    pub limit: u32,
}

/// Which models or datasets.
#[derive(Clone, Debug, Args)]
pub struct SearchArguments {
    /// Which rows.
    #[command(flatten)]
    pub page: PageArguments,
    /// Only those that these words find in name, family or description; "in quotes", or, -without are understood
    #[arg(long, value_name = "WORDS")]
    pub search: Option<String>,
}

/// Which trainings.
#[derive(Clone, Debug, Args)]
pub struct ListArguments {
    /// Which rows.
    #[command(flatten)]
    pub page: PageArguments,
    /// Only those on this model (its id)
    #[arg(long)]
    pub model: Option<String>,
    /// Only those on this dataset (its id)
    #[arg(long)]
    pub dataset: Option<String>,
}

/// A training that is wanted.
#[derive(Debug, Args)]
pub struct TrainArguments {
    /// A training template that says what the rest leaves out: its id or name
    #[arg(long, short)]
    pub template: Option<String>,
    /// Whose activations: a model's id or name
    #[arg(long, short, required_unless_present = "template")]
    pub model: Option<String>,
    /// On which text: a dataset's id or name
    #[arg(long, short, required_unless_present = "template")]
    pub dataset: Option<String>,
    /// Which kind of autoencoder: sparse, skip or transcoder [default: the template's, else sparse]
    #[arg(long, value_name = "TYPE")]
    pub encoder_type: Option<String>,
    /// A JSON file of hyperparameters
    #[arg(long, value_name = "FILE")]
    pub hyperparameters: Option<PathBuf>,
    /// A hyperparameter, such as learningRate=0.001; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// The layer whose activations are read, counted from 0 [default: the middle one]
    #[arg(long)]
    pub layer: Option<u32>,
    /// Where in the layer: residual, mlp or attention
    #[arg(long)]
    pub hook: Option<String>,
    /// Steps
    #[arg(long)]
    pub steps: Option<u32>,
    /// Activations (tokens) in a step
    #[arg(long)]
    pub batch_size: Option<u32>,
    /// Peak learning rate
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Weight of the sparsity loss
    #[arg(long, value_name = "COEFFICIENT")]
    pub l1: Option<f64>,
    /// TopK instead of ReLU with L1: how many latents stay active
    #[arg(long)]
    pub top_k: Option<u32>,
    /// Latents for each dimension of the activations
    #[arg(long, value_name = "FACTOR")]
    pub expansion: Option<u32>,
    /// Seed of initialisation and shuffling
    #[arg(long)]
    pub seed: Option<u64>,
    /// A checkpoint every so many steps
    #[arg(long, value_name = "STEPS")]
    pub checkpoint_interval: Option<u32>,
    /// Metrics every so many steps
    #[arg(long, value_name = "STEPS")]
    pub log_interval: Option<u32>,
    /// A name for this request: given again, the request is not done again
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Follow it until it ends or rests
    #[arg(long, short)]
    pub watch: bool,
    /// Where.
    #[command(flatten)]
    pub placement: placement::PlacementArguments,
}

/// A change of a training's state.
#[derive(Debug, Args)]
pub struct StateChangeArguments {
    /// The training's id
    pub id: String,
    /// The request.
    #[command(flatten)]
    pub request: RequestArguments,
}

/// Something that is to be deleted.
#[derive(Debug, Args)]
pub struct RemoveArguments {
    /// Its id
    pub id: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// What has grown old.
#[derive(Debug, Subcommand)]
pub enum RetentionCommand {
    /// Show what would go, and why; nothing goes
    Plan,
    /// Let it go, as events; the files go after them
    Run,
}

/// Which events.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct EventsArguments {
    /// Something else than a list.
    #[command(subcommand)]
    pub command: Option<history::EventsCommand>,
    /// Only those of this dataset, model or training
    pub id: Option<String>,
    /// Only those of dataset, model or training streams
    #[arg(long)]
    pub category: Option<String>,
    /// Only those of this type, such as CheckpointSaved
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// All from behind this position on (0-0: from the beginning), instead of the newest
    #[arg(long, value_name = "POSITION")]
    pub after: Option<String>,
    /// The newest so many
    #[arg(
        long,
        short = 'n',
        value_name = "EVENTS",
        default_value_t = 25,
        conflicts_with = "after"
    )]
    pub last: u32,
    /// Go on as more happens
    #[arg(long, short)]
    pub follow: bool,
}

/// The tables that applications read.
#[derive(Debug, Subcommand)]
pub enum ProjectionsCommand {
    /// Show how far each read model is
    Status,
    /// Make a read model anew from the log, beside the live one, and swap
    Rebuild {
        /// Which
        #[arg(default_value = "mistudio")]
        read_model: String,
    },
    /// Compare a read model with what the log makes of it; changes nothing
    Verify {
        /// Which
        #[arg(default_value = "mistudio")]
        read_model: String,
    },
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("it must be NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::Cli;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }
}
