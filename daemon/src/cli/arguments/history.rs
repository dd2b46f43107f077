//! Arguments about the past.

use clap::{Args, Subcommand};

/// What else there is to know of events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Say what changed between two points
    Diff(DiffArguments),
}

/// Two points, each a time (2026-01-01T12:00:00Z), a position (812-33) or how long ago it is ("2 hours ago").
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// The first point: a time (2026-01-01T12:00:00Z), a position (812-33) or how long ago ("2 hours ago")
    pub from: String,
    /// The second point [default: now]
    pub to: Option<String>,
    /// Tell of so many things that changed
    #[arg(long, short = 'n', value_name = "THINGS", default_value_t = 200)]
    pub limit: u32,
}
