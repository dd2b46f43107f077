//! The states in which SLURM says that a job is.

/// A job's state, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlurmState {
    /// It waits for its resources.
    Pending,
    /// It has its resources.
    Running,
    /// It ended with status 0.
    Completed,
    /// It ended otherwise.
    Failed(SlurmFailure),
    /// A state that this version does not know, as SLURM prints it. Not an end.
    Unknown(String),
}

/// How a job ended that did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlurmFailure {
    /// With a status other than 0.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its time was over.
    TimeLimit,
    /// Its memory was.
    OutOfMemory,
    /// Its node failed.
    NodeFail,
    /// Another job took its place.
    Preempted,
    /// Its node did not come up.
    BootFail,
    /// It could not have ended before its deadline.
    Deadline,
}

impl SlurmFailure {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Failed,
        Self::Cancelled,
        Self::TimeLimit,
        Self::OutOfMemory,
        Self::NodeFail,
        Self::Preempted,
        Self::BootFail,
        Self::Deadline,
    ];

    /// As SLURM prints it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::TimeLimit => "TIMEOUT",
            Self::OutOfMemory => "OUT_OF_MEMORY",
            Self::NodeFail => "NODE_FAIL",
            Self::Preempted => "PREEMPTED",
            Self::BootFail => "BOOT_FAIL",
            Self::Deadline => "DEADLINE",
        }
    }
}

impl SlurmState {
    /// The state that SLURM prints so, in its long form.
    #[must_use]
    pub fn parse(printed: &str) -> Self {
        // `CANCELLED by 1000`, and `CANCELLED+` where a column was too narrow.
        let name = printed.split_whitespace().next().unwrap_or_default();
        let name = name.trim_end_matches('+');
        match name {
            "PENDING" | "CONFIGURING" => Self::Pending,
            "RUNNING" | "COMPLETING" | "SUSPENDED" => Self::Running,
            "COMPLETED" => Self::Completed,
            _ => SlurmFailure::ALL
                .into_iter()
                .find(|failure| failure.as_str() == name)
                .map_or_else(|| Self::Unknown(printed.trim().to_owned()), Self::Failed),
        }
    }
}
