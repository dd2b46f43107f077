//! initializing, training → error: the run is gone without a word. It is tried again after a back-off, up to a cap.

use crate::{
    attempt::{LeaseExpired, Loss, poison},
    run::control::Request,
    training::{Paused, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    pub(in crate::training) fn lose_lease(
        &self,
        loss: &Loss,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        self.attempts.fence(loss.lease)?;
        if self.requested == Some(Request::Pause) {
            // It was to rest; it rests where it can go on from.
            return Ok(vec![TrainingEvent::TrainingPaused(Paused {
                lease: loss.lease,
                seq: 0,
                step: self.resume_step(),
                forced: true,
            })]);
        }
        let crashes = self.attempts.crashes.saturating_add(1);
        let expired = TrainingEvent::TrainingLeaseExpired(LeaseExpired {
            lease: loss.lease,
            reason: loss.reason,
            message: loss.message.clone(),
        });
        Ok(match loss.policy.next(crashes, loss.now) {
            Some(retried) => vec![expired, TrainingEvent::TrainingRetried(retried)],
            None => vec![
                expired,
                TrainingEvent::TrainingErrored(poison(loss.lease, crashes, &loss.message)),
            ],
        })
    }

    pub(in crate::training) fn on_lease_expired(&mut self, expired: &LeaseExpired) -> bool {
        if !self.status.is_running() || expired.lease != self.attempts.lease {
            return false;
        }
        self.status = TrainingStatus::Error;
        self.attempts.on_lost();
        true
    }
}
