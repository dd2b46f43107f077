//! Arguments of `log`.

use super::ArchiveArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The log itself.
#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Check every event's hash and place, and the files that events name
    Verify(VerifyArguments),
    /// Print how far the log has got, signed: kept elsewhere, it tells later whether the end of the log is still there
    Head {
        /// The file to write, as well
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List the parts of the log: which are in the database, and which in files
    Segments,
    /// Take old events out of the database, into compressed files
    Archive(ArchiveArguments),
}

/// What to check.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// A head that was kept (-: from standard input): the log must still contain what it speaks of
    #[arg(long, value_name = "FILE")]
    pub head: Option<PathBuf>,
    /// The key that must have signed the head, as `log head` prints it
    #[arg(long, value_name = "HEX", requires = "head")]
    pub public_key: Option<String>,
    /// Do not read the files of checkpoints, autoencoders, tokens and extractions, which may be large
    #[arg(long)]
    pub skip_artifacts: bool,
}
