//! Backups, restores, maintenance.

use super::ServerArguments;
use crate::backup::{Kind, Target};
use clap::{Args, Subcommand, ValueEnum};

/// How a backup is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindArgument {
    /// A dump of the log: small, of one moment, restorable into any PostgreSQL that is not older
    Logical,
    /// A copy of the cluster: with postgres.wal_archive, the beginning of a way to any later moment
    Physical,
}

impl From<KindArgument> for Kind {
    fn from(kind: KindArgument) -> Self {
        match kind {
            KindArgument::Logical => Self::Logical,
            KindArgument::Physical => Self::Physical,
        }
    }
}

/// Backups.
#[derive(Debug, Subcommand)]
pub enum BackupCommand {
    /// Make one, beside a running daemon or without one, then let old ones go
    Create(CreateArguments),
    /// List them, the oldest first
    #[command(visible_alias = "list")]
    Ls(ServerArguments),
    /// Read backups to their last byte and compare with what they were
    Verify(VerifyArguments),
    /// Let go what is older than the settings say
    Prune(ServerArguments),
}

/// What to back up.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// How
    #[arg(long, value_enum, default_value = "logical")]
    pub kind: KindArgument,
    /// Keep the files of runs, datasets and models as well (also: backup.with_artifacts)
    #[arg(long)]
    pub with_artifacts: bool,
    /// Have the read models in a logical backup, instead of making them anew after a restore
    #[arg(long)]
    pub with_read_models: bool,
    /// Leave old backups alone
    #[arg(long)]
    pub keep_old: bool,
    /// Settings.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Which backups to check.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Its id, or latest
    #[arg(default_value = "latest")]
    pub id: String,
    /// Every one
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
    /// Settings.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// What to go back to.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The backup's id, or latest; with --to, latest is the newest physical one from before it
    pub id: String,
    /// The moment: 2026-05-01T14:30:00Z, "2026-05-01 14:30:00" by this machine's clock, or the position of an event. Takes a
    /// physical backup and postgres.wal_archive
    #[arg(long, value_name = "TIME|POSITION")]
    pub to: Option<Target>,
    /// Which of the archive's histories to follow, where a restore has begun another [default: the newest]
    #[arg(long, value_name = "NUMBER")]
    pub timeline: Option<u32>,
    /// Do everything but putting it in place: a drill, beside a running daemon
    #[arg(long)]
    pub rehearse: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
    /// Settings.
    #[command(flatten)]
    pub server: ServerArguments,
}
