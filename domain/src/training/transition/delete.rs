//! any but initializing and training → deleted: it is gone, with all that is its own.

use crate::training::{Training, TrainingEvent, TrainingRefusal, TrainingStatus};

impl Training {
    /// That no job works on it is checked where the event is appended.
    pub(in crate::training) fn delete(&self) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        match self.status {
            TrainingStatus::Absent => Err(TrainingRefusal::Absent),
            TrainingStatus::Initializing | TrainingStatus::Training | TrainingStatus::Deleted => {
                Err(TrainingRefusal::NotAllowed {
                    status: self.status.as_str(),
                    wanted: "deleted",
                })
            }
            _ => Ok(vec![TrainingEvent::TrainingDeleted {}]),
        }
    }

    pub(in crate::training) fn on_deleted(&mut self) -> bool {
        if self.status.is_running()
            || matches!(
                self.status,
                TrainingStatus::Absent | TrainingStatus::Deleted
            )
        {
            return false;
        }
        self.status = TrainingStatus::Deleted;
        self.requested = None;
        self.latest_checkpoint = None;
        self.checkpoints.clear();
        self.result = None;
        true
    }
}
