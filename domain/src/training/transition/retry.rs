//! failed, error → queued: another attempt, decided by the daemon after a back-off or asked for by a person.

use crate::{
    attempt::Retried,
    training::{Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    pub(in crate::training) fn retry(&self) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        match self.status {
            TrainingStatus::Absent => Err(TrainingRefusal::Absent),
            TrainingStatus::Failed | TrainingStatus::Error => {
                Ok(vec![TrainingEvent::TrainingRetried(Retried {
                    not_before: None,
                    automatic: false,
                })])
            }
            other => Err(TrainingRefusal::NotAllowed {
                status: other.as_str(),
                wanted: "retried",
            }),
        }
    }

    pub(in crate::training) fn on_retried(&mut self, retried: &Retried) -> bool {
        if !matches!(self.status, TrainingStatus::Failed | TrainingStatus::Error) {
            return false;
        }
        self.status = TrainingStatus::Queued;
        if !retried.automatic {
            // Whoever asks for another attempt wants it to run.
            self.requested = None;
        }
        self.attempts.on_retried(retried);
        true
    }
}
