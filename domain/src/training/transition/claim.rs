//! queued → initializing: a worker takes the training under a new lease.

use crate::{
    attempt::{Claim, Claimed},
    training::{Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    pub(in crate::training) fn claim(
        &self,
        claim: &Claim,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        match self.status {
            TrainingStatus::Absent => Err(TrainingRefusal::Absent),
            TrainingStatus::Queued => Ok(vec![TrainingEvent::TrainingClaimed(
                self.attempts.claim(claim)?,
            )]),
            other => Err(TrainingRefusal::NotAllowed {
                status: other.as_str(),
                wanted: "claimed",
            }),
        }
    }

    pub(in crate::training) fn on_claimed(&mut self, claimed: &Claimed) -> bool {
        if self.status != TrainingStatus::Queued || claimed.lease != self.attempts.lease.next() {
            return false;
        }
        self.status = TrainingStatus::Initializing;
        self.attempts.on_claimed(claimed);
        true
    }
}
