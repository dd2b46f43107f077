//! The fence: a number that only grows, minted by each claim and carried by every report of the run it started.

use serde::{Deserialize, Serialize};

/// The right to work on one dataset, model or training. Each claim of the same stream mints the next number; a report
/// under any other number than the current one is refused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Lease(pub u64);

impl Lease {
    /// The lease that the next claim mints.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}
