//! What can be said to `doctor`.

use super::ServerArguments;
use clap::Args;

/// What to look at.
#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArguments {
    /// Look at the database alone, and at how it does: connections, sizes, locks, slow statements, queues, lags
    #[arg(long)]
    pub database: bool,
    /// Settings.
    #[command(flatten)]
    pub server: ServerArguments,
}
