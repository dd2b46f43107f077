//! Why SLURM could not be asked, or would not.

use std::{io, path::PathBuf, time::Duration};

/// Why SLURM could not be asked, or would not.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// No cluster has this name.
    #[error(
        "no cluster is called {name:?}; {}: add [slurm.clusters.{name}] to the settings, or name one that is there", there_are(.known)
    )]
    NoCluster {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A program cannot be started.
    #[error(
        "{program} cannot be run for cluster {cluster}: {error}; install SLURM's client programs on this machine (Debian: slurm-client), or \
         set programs in [slurm.clusters.{cluster}]"
    )]
    Missing {
        /// The cluster.
        cluster: String,
        /// The program.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// The controller does not answer.
    #[error("the controller of cluster {cluster} does not answer ({message}); it is asked again")]
    Silent {
        /// The cluster.
        cluster: String,
        /// What the program said.
        message: String,
        /// Whether what was asked may have been done nonetheless.
        unclear: bool,
    },
    /// A program took too long, or was ended by somebody.
    #[error("{program} for cluster {cluster} did not end by itself within {limit:?}")]
    Interrupted {
        /// The cluster.
        cluster: String,
        /// The program.
        program: String,
        /// How long it may take.
        limit: Duration,
    },
    /// The cluster takes no more for the moment.
    #[error("cluster {cluster} takes no more jobs for the moment: {message}")]
    Busy {
        /// The cluster.
        cluster: String,
        /// What the program said.
        message: String,
    },
    /// The cluster refuses.
    #[error("cluster {cluster} refuses: {message}")]
    Refused {
        /// The cluster.
        cluster: String,
        /// What the program said.
        message: String,
    },
    /// A program said something that is not understood.
    #[error("what {program} says of cluster {cluster} is not understood: {what}")]
    NotUnderstood {
        /// The cluster.
        cluster: String,
        /// The program.
        program: String,
        /// What.
        what: String,
    },
    /// A file that a program needs.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl SlurmError {
    /// Whether what was asked may have been done nonetheless: whoever submitted has to look.
    #[must_use]
    pub const fn is_unclear(&self) -> bool {
        match self {
            Self::Silent { unclear, .. } => *unclear,
            Self::Interrupted { .. } | Self::NotUnderstood { .. } => true,
            Self::NoCluster { .. }
            | Self::Missing { .. }
            | Self::Busy { .. }
            | Self::Refused { .. }
            | Self::File { .. } => false,
        }
    }

    /// Whether asking again later may help.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Interrupted { .. } | Self::Busy { .. } => true,
            Self::NoCluster { .. }
            | Self::Missing { .. }
            | Self::Refused { .. }
            | Self::NotUnderstood { .. }
            | Self::File { .. } => false,
        }
    }
}

fn there_are(names: &[String]) -> String {
    match names {
        [] => "none is configured, and sbatch is not in $PATH".to_owned(),
        names => format!("there are {}", names.join(", ")),
    }
}
