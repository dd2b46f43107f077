//! What SLURM says of a job, and what that means.

use serde::{Deserialize, Serialize};

/// What a job is doing, as far as a run is concerned.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlurmState {
    /// It waits, for the first time or again.
    Pending,
    /// It has its nodes.
    Running,
    /// What it leaves behind on its nodes is being cleared away, before it ends or waits again: not yet told which.
    Completing,
    /// It ended with exit status 0.
    Completed,
    /// It ended otherwise.
    Failed(SlurmFailure),
    /// A state that this version does not know, as SLURM prints it. It ends nothing.
    Unknown(String),
}

/// How a job that did not complete ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SlurmFailure {
    /// With another exit status than 0.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Its time limit was over.
    TimeLimit,
    /// It took more memory than it had asked for.
    OutOfMemory,
    /// A node of its did not answer any more.
    NodeFail,
    /// Another job took its place.
    Preempted,
    /// A node of its did not start.
    BootFail,
    /// It could not end before its deadline.
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

impl std::fmt::Display for SlurmFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The states that do not say how a job ended: those of `squeue`'s manual, "JOB STATE CODES", and of later versions. What is put back into the
/// queue waits, whatever it is called; what is stopped, resized or cleared away has its nodes still.
const GOING_ON: [(&str, SlurmState); 18] = [
    ("PENDING", SlurmState::Pending),
    ("CONFIGURING", SlurmState::Pending),
    ("POWER_UP_NODE", SlurmState::Pending),
    ("EXPEDITING", SlurmState::Pending),
    ("REQUEUED", SlurmState::Pending),
    ("REQUEUE_HOLD", SlurmState::Pending),
    ("REQUEUE_FED", SlurmState::Pending),
    ("SPECIAL_EXIT", SlurmState::Pending),
    ("RESV_DEL_HOLD", SlurmState::Pending),
    ("RUNNING", SlurmState::Running),
    ("COMPLETING", SlurmState::Completing),
    ("SUSPENDED", SlurmState::Running),
    ("STOPPED", SlurmState::Running),
    ("SIGNALING", SlurmState::Running),
    ("RESIZING", SlurmState::Running),
    ("STAGE_OUT", SlurmState::Running),
    ("STAGED_OUT", SlurmState::Running),
    ("COMPLETED", SlurmState::Completed),
];

impl SlurmState {
    /// Reads a state in its long form, as `squeue`, `sacct`, `scontrol` and the job completion file print it: with what follows it
    /// (`CANCELLED by 1000`), or cut off (`OUT_OF_ME+`).
    #[must_use]
    pub fn parse(printed: &str) -> Self {
        let known = || {
            let failures = SlurmFailure::ALL.map(|failure| (failure.as_str(), failure));
            let failed = failures
                .into_iter()
                .map(|(name, failure)| (name, Self::Failed(failure)));
            GOING_ON.into_iter().chain(failed)
        };
        let printed = printed.trim();
        let word = printed.split_whitespace().next().unwrap_or_default();
        let found = match word.strip_suffix('+') {
            // Two states that begin alike are none.
            Some(beginning) => {
                let mut alike = known().filter(|(name, _)| name.starts_with(beginning));
                alike.next().filter(|_| alike.next().is_none())
            }
            None => known().find(|(name, _)| *name == word),
        };
        match found {
            Some((_, state)) => state,
            None => Self::Unknown(printed.chars().take(MOST_KEPT).collect()),
        }
    }

    /// Whether the job is over.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::Completed | Self::Failed(_))
    }
}

/// So many characters of a state that is not known are kept.
const MOST_KEPT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use SlurmFailure as F;
    use SlurmState::{Completed, Completing, Failed, Pending, Running, Unknown};
    use proptest::prelude::*;

    #[test]
    fn every_state_that_slurm_documents_means_what_was_decided() {
        for (printed, state) in [
            ("PENDING", Pending),
            ("CONFIGURING", Pending),
            ("REQUEUED", Pending),
            ("REQUEUE_HOLD", Pending),
            ("REQUEUE_FED", Pending),
            ("SPECIAL_EXIT", Pending),
            ("RESV_DEL_HOLD", Pending),
            ("RUNNING", Running),
            ("COMPLETING", Completing),
            ("SUSPENDED", Running),
            ("STOPPED", Running),
            ("SIGNALING", Running),
            ("RESIZING", Running),
            ("STAGE_OUT", Running),
            ("COMPLETED", Completed),
            ("FAILED", Failed(F::Failed)),
            ("CANCELLED", Failed(F::Cancelled)),
            ("TIMEOUT", Failed(F::TimeLimit)),
            ("OUT_OF_MEMORY", Failed(F::OutOfMemory)),
            ("NODE_FAIL", Failed(F::NodeFail)),
            ("PREEMPTED", Failed(F::Preempted)),
            ("BOOT_FAIL", Failed(F::BootFail)),
            ("DEADLINE", Failed(F::Deadline)),
            ("REVOKED", Unknown("REVOKED".to_owned())),
        ] {
            assert_eq!(SlurmState::parse(printed), state, "{printed}");
            assert_eq!(SlurmState::parse(&format!(" {printed}\n")), state);
        }
    }

    #[test]
    fn what_sacct_adds_or_cuts_off_changes_nothing() {
        for (printed, state) in [
            ("CANCELLED by 1000", Failed(F::Cancelled)),
            ("CANCELLED+", Failed(F::Cancelled)),
            ("OUT_OF_ME+", Failed(F::OutOfMemory)),
            ("CONFIGURI+", Pending),
            ("COMPLETI+", Completing),
            ("COMPLE+", Unknown("COMPLE+".to_owned())),
            ("COMPLETED+", Completed),
            ("completed", Unknown("completed".to_owned())),
            ("", Unknown(String::new())),
            ("+", Unknown("+".to_owned())),
        ] {
            assert_eq!(SlurmState::parse(printed), state, "{printed}");
        }
    }

    proptest! {
        #[test]
        fn what_is_not_known_is_kept_and_ends_nothing(printed in "[A-Z_]{0,12}[a-z!?]{1,3}.{0,200}") {
            let state = SlurmState::parse(&printed);
            prop_assert!(!state.is_terminal());
            let Unknown(raw) = state else {
                return Err(TestCaseError::fail("it is known"));
            };
            prop_assert!(printed.trim().starts_with(&raw));
            prop_assert!(raw.chars().count() <= MOST_KEPT);
        }
    }
}
