//! paused → queued: it is to go on from its latest checkpoint.

use crate::training::{Training, TrainingEvent, TrainingRefusal, TrainingStatus};

impl Training {
    pub(in crate::training) fn resume(&self) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        match self.status {
            TrainingStatus::Absent => Err(TrainingRefusal::Absent),
            TrainingStatus::Paused => Ok(vec![TrainingEvent::TrainingResumed {}]),
            other => Err(TrainingRefusal::NotAllowed {
                status: other.as_str(),
                wanted: "resumed",
            }),
        }
    }

    pub(in crate::training) fn on_resumed(&mut self) -> bool {
        if self.status != TrainingStatus::Paused {
            return false;
        }
        self.status = TrainingStatus::Queued;
        true
    }
}
