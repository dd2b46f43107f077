//! initializing, training → failed or error: the run says what went wrong. An error of the infrastructure is tried again.

use crate::{
    Lease,
    attempt::{AfterFailure, Failed, RetryPolicy},
    run::journal::Failure,
    training::{Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};
use chrono::{DateTime, Utc};

impl Training {
    pub(in crate::training) fn fail(
        &self,
        lease: Lease,
        seq: u64,
        failure: Failure,
        now: DateTime<Utc>,
        policy: RetryPolicy,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if !self.status.is_running() {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "failed",
            });
        }
        Ok(
            match self
                .attempts
                .after_failure((lease, seq), failure, now, policy)
            {
                AfterFailure::Final(failed) => vec![TrainingEvent::TrainingFailed(failed)],
                AfterFailure::GivenUp(failed) => vec![TrainingEvent::TrainingErrored(failed)],
                AfterFailure::Again(failed, retried) => vec![
                    TrainingEvent::TrainingErrored(failed),
                    TrainingEvent::TrainingRetried(retried),
                ],
            },
        )
    }

    pub(in crate::training) fn on_failed(&mut self, failed: &Failed) -> bool {
        if !self.status.is_running() || failed.lease != self.attempts.lease {
            return false;
        }
        self.status = TrainingStatus::Failed;
        self.requested = None;
        self.attempts.on_ended(failed.seq);
        true
    }

    /// After a lost lease the status is `error` already: then the event says that no further attempt is made.
    pub(in crate::training) fn on_errored(&mut self, failed: &Failed) -> bool {
        let running = self.status.is_running();
        if !(running || self.status == TrainingStatus::Error) || failed.lease != self.attempts.lease
        {
            return false;
        }
        if running {
            self.attempts.on_broken();
        }
        self.attempts.on_ended(failed.seq);
        self.status = TrainingStatus::Error;
        true
    }
}
