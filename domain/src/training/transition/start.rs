//! initializing → training: the run has loaded model and data. What was recorded past its first step is void.

use crate::{
    Lease,
    run::journal,
    training::{Started, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    pub(in crate::training) fn start(
        &self,
        lease: Lease,
        seq: u64,
        started: &journal::TrainingStarted,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Initializing {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "started",
            });
        }
        if started.at_step != self.resume_step() {
            return Err(TrainingRefusal::Unbelievable(format!(
                "it goes on from step {}, but was told to from step {}",
                started.at_step,
                self.resume_step()
            )));
        }
        Ok(vec![TrainingEvent::TrainingStarted(Started {
            lease,
            seq,
            at_step: started.at_step,
            d_in: started.d_in,
            d_sae: started.d_sae,
        })])
    }

    pub(in crate::training) fn on_started(&mut self, started: &Started) -> bool {
        if self.status != TrainingStatus::Initializing
            || started.lease != self.attempts.lease
            || started.at_step != self.resume_step()
        {
            return false;
        }
        self.status = TrainingStatus::Training;
        self.current_step = started.at_step;
        self.attempts.on_heard(started.seq);
        true
    }
}
