//! Waiting for one job.

use super::{Poller, channel};
use crate::slurm::Watched;

/// What is known of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing yet: it has not been asked about, or the cluster does not answer.
    NotYet,
    /// What SLURM said last.
    Seen(Watched),
    /// SLURM does not know it any more, nor does whatever remembers: its outcome is unknown.
    Gone,
}

impl Known {
    /// Whether nothing follows, unless somebody puts the job back into the queue.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::NotYet => false,
            Self::Seen(seen) => seen.state.is_terminal(),
            Self::Gone => true,
        }
    }
}

/// Waits for one job; it is not asked about any more when the last of its watches is dropped.
#[derive(Debug)]
pub struct JobWatch {
    poller: Poller,
    /// Number and submission.
    key: (String, String),
    known: channel::Receiver<Known>,
}

impl JobWatch {
    pub(super) fn new(
        poller: Poller,
        key: (String, String),
        mut known: channel::Receiver<Known>,
    ) -> Self {
        // What is known already is news to this watch.
        known.mark_changed();
        Self { poller, key, known }
    }

    /// What SLURM calls the job.
    #[must_use]
    pub fn sbatch_id(&self) -> &str {
        &self.key.0
    }

    /// What is known now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Waits for news, and answers with what is known then. The first time, what is known already is news, unless it is nothing. May be
    /// dropped while it waits.
    pub async fn changed(&mut self) -> Known {
        loop {
            if self.known.changed().await.is_err() {
                // The sender is held for as long as there is a watch.
                return std::future::pending().await;
            }
            let known = self.known.borrow_and_update().clone();
            if known != Known::NotYet {
                return known;
            }
        }
    }

    /// Asks soon (see [`Poller::poll_soon`]).
    pub fn poll_soon(&self) {
        self.poller.poll_soon();
    }

    /// The job is about to end (see [`Poller::expect_end`]).
    pub fn expect_end(&self) {
        self.poller.expect_end();
    }
}

impl Drop for JobWatch {
    fn drop(&mut self) {
        let mut jobs = self.poller.shared.jobs();
        if let Some(job) = jobs.get_mut(&self.key) {
            job.watchers -= 1;
            if job.watchers == 0 {
                jobs.remove(&self.key);
            }
        }
    }
}
