//! absent → queued: somebody wants a training.

use crate::training::{
    Definition, EncoderType, QueueTraining, Queued, Training, TrainingEvent, TrainingRefusal,
    TrainingStatus,
};

impl Training {
    pub(in crate::training) fn queue(
        &self,
        queue: QueueTraining,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Absent {
            return Err(TrainingRefusal::Exists);
        }
        if queue.encoder_type != EncoderType::Sparse {
            return Err(TrainingRefusal::EncoderType(queue.encoder_type.as_str()));
        }
        queue.hyperparameters.validate()?;
        Ok(vec![TrainingEvent::TrainingQueued(Queued {
            model_id: queue.model_id,
            dataset_id: queue.dataset_id,
            encoder_type: queue.encoder_type,
            total_steps: u64::from(queue.hyperparameters.training_steps),
            hyperparameters: queue.hyperparameters,
        })])
    }

    pub(in crate::training) fn on_queued(&mut self, queued: &Queued) -> bool {
        if self.status != TrainingStatus::Absent {
            return false;
        }
        self.status = TrainingStatus::Queued;
        self.total_steps = queued.total_steps;
        self.definition = Some(Definition {
            model_id: queued.model_id.clone(),
            dataset_id: queued.dataset_id.clone(),
            encoder_type: queued.encoder_type,
            hyperparameters: queued.hyperparameters.clone(),
        });
        true
    }
}
