//! training → completed: all steps are done and the autoencoder is durable.

use super::stop::ended;
use crate::{
    Lease,
    run::journal::Finished,
    training::{Ended, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    pub(in crate::training) fn complete(
        &self,
        lease: Lease,
        seq: u64,
        finished: Finished,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Training {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "completed",
            });
        }
        if finished.step != self.total_steps {
            return Err(TrainingRefusal::Unbelievable(format!(
                "it completed at step {} of {}",
                finished.step, self.total_steps
            )));
        }
        Ok(vec![TrainingEvent::TrainingCompleted(ended(
            lease, seq, finished,
        ))])
    }

    pub(in crate::training) fn on_completed(&mut self, ended: &Ended) -> bool {
        if self.status != TrainingStatus::Training
            || ended.lease != self.attempts.lease
            || ended.step != self.total_steps
            || ended.result.is_none()
        {
            return false;
        }
        self.end(TrainingStatus::Completed, ended);
        true
    }
}
