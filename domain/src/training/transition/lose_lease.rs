//! initializing, training → error: the run is gone without a word. It is tried again after a back-off, up to a cap.

use crate::{
    attempt::{LeaseExpired, Loss, LossReason},
    run::control::Request,
    training::{Ended, Paused, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    pub(in crate::training) fn lose_lease(
        &self,
        loss: &Loss,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        let (expired, next) = self.attempts.after_loss(loss)?;
        let rests = TrainingEvent::TrainingPaused(Paused {
            lease: loss.lease,
            seq: 0,
            step: self.resume_step(),
            forced: true,
        });
        if self.requested == Some(Request::Pause) {
            // It was to rest; it rests where it can go on from.
            return Ok(vec![rests]);
        }
        if self.requested == Some(Request::Stop)
            && loss.reason == LossReason::Withdrawn
            && self.latest_checkpoint.is_none()
        {
            // It never ran, and has nothing that could be kept.
            return Ok(vec![
                rests,
                TrainingEvent::TrainingStopped(Ended {
                    lease: loss.lease,
                    seq: 0,
                    step: 0,
                    result: None,
                }),
            ]);
        }
        Ok(vec![
            TrainingEvent::TrainingLeaseExpired(expired),
            match next {
                Ok(retried) => TrainingEvent::TrainingRetried(retried),
                Err(poisoned) => TrainingEvent::TrainingErrored(poisoned),
            },
        ])
    }

    pub(in crate::training) fn on_lease_expired(&mut self, expired: &LeaseExpired) -> bool {
        if !self.status.is_running() || expired.lease != self.attempts.lease {
            return false;
        }
        self.status = TrainingStatus::Error;
        self.attempts.on_lost(expired.reason);
        true
    }
}
