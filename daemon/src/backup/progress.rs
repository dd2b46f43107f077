//! How far a backup or a restore is, for whoever shows it.

use std::{fmt, sync::Arc};

/// What is being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// In words.
    pub what: &'static str,
    /// Bytes done, where that is known.
    pub done_bytes: Option<u64>,
    /// Bytes in all, where that is known.
    pub total_bytes: Option<u64>,
}

/// Hears of stages, some each second.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Stage) + Send + Sync>);

impl Progress {
    /// One that `show` hears.
    pub fn new(show: impl Fn(Stage) + Send + Sync + 'static) -> Self {
        Self(Arc::new(show))
    }

    /// One that nobody hears.
    #[must_use]
    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    pub(super) fn begin(&self, what: &'static str) {
        self.at(what, None, None);
    }

    pub(super) fn at(&self, what: &'static str, done: Option<u64>, total: Option<u64>) {
        (self.0)(Stage {
            what,
            done_bytes: done,
            total_bytes: total,
        });
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
