//! training → completed: all steps are done and the autoencoder is durable.

use super::stop::ended;
use crate::{
    Lease,
    run::journal::Finished,
    slurm::id,
    training::{Ended, ModelProduced, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
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
        let mut events = self.produce_model(lease, &finished);
        events.push(TrainingEvent::TrainingCompleted(ended(
            lease, seq, finished,
        )));
        Ok(events)
    }

    /// What a network that segments images is called from now on; nothing of an autoencoder.
    pub(super) fn produce_model(&self, lease: Lease, finished: &Finished) -> Vec<TrainingEvent> {
        let produced = self
            .segmentation
            .as_ref()
            .map(|segmentation| ModelProduced {
                lease,
                model_id: id::model(&finished.path, &finished.sha256),
                model_name: format!("{}_model", segmentation.name),
            });
        produced
            .map(TrainingEvent::ModelProduced)
            .into_iter()
            .collect()
    }

    pub(in crate::training) fn on_model_produced(&mut self, produced: &ModelProduced) -> bool {
        if !self.status.is_running()
            || produced.lease != self.attempts.lease
            || self.segmentation.is_none()
        {
            return false;
        }
        self.model = Some(produced.clone());
        true
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
