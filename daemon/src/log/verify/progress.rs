//! How far verifying is.

use crate::progress::Progress;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::watch;

/// A log that is being verified, as those see it who look at its parts.
#[derive(Clone)]
pub(super) struct Verifying {
    progress: watch::Sender<Progress>,
    events: Arc<AtomicU64>,
    total: u64,
    /// The position of the head with which the log is compared.
    pub(super) up_to: Option<(i64, i64)>,
    /// Whether files are to be looked at, too.
    pub(super) with_artifacts: bool,
}

impl Verifying {
    pub(super) fn new(
        progress: &watch::Sender<Progress>,
        total: u64,
        up_to: Option<(i64, i64)>,
        with_artifacts: bool,
    ) -> Self {
        let verifying = Self {
            progress: progress.clone(),
            events: Arc::default(),
            total,
            up_to,
            with_artifacts,
        };
        verifying.add_events(0);
        verifying
    }

    pub(super) fn add_events(&self, more: u64) {
        let done = self.events.fetch_add(more, Ordering::Relaxed) + more;
        self.progress.send_replace(Progress {
            done,
            total: self.total.max(done),
            unit: "events",
        });
    }

    /// So many of the files are looked at.
    pub(super) fn files(&self, done: u64, total: u64) {
        self.progress.send_replace(Progress {
            done,
            total,
            unit: "files",
        });
    }

    /// So many it were in the end.
    pub(super) fn finish(&self, events: u64) {
        self.progress.send_replace(Progress {
            done: events,
            total: events,
            unit: "events",
        });
    }
}
