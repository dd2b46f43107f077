//! What can be said of SLURM.

use super::PageArguments;
use clap::{Args, Subcommand};

/// The clusters, and the jobs that runs became there.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SlurmArguments {
    /// Something else than a list.
    #[command(subcommand)]
    pub command: Option<SlurmCommand>,
    /// Which jobs.
    #[command(flatten)]
    pub page: PageArguments,
    /// Only jobs on this cluster
    #[arg(long)]
    pub cluster: Option<String>,
    /// Only jobs of this run: the id of a training or job
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
}

/// One SLURM job.
#[derive(Debug, Subcommand)]
pub enum SlurmCommand {
    /// Show a SLURM job and the script that was submitted
    Show {
        /// Its id, or that of the training or job that it executes
        id: String,
    },
}
