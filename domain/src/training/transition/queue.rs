//! absent → queued: somebody wants a training.

use crate::{
    hyperparameters::Hook,
    training::{
        Definition, EncoderType, QueueTraining, Queued, Training, TrainingEvent, TrainingRefusal,
        TrainingStatus,
    },
};

impl Training {
    pub(in crate::training) fn queue(
        &self,
        queue: QueueTraining,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Absent {
            return Err(TrainingRefusal::Exists);
        }
        // Nobody trains what was trained elsewhere.
        if queue.import_from.is_none() {
            queue.hyperparameters.validate()?;
        }
        if let Some(placement) = &queue.placement {
            placement.validate()?;
        }
        let hooks = queue.hyperparameters.sites(0);
        if queue.encoder_type != EncoderType::Sparse
            && hooks.iter().any(|site| site.hook != Hook::Mlp)
        {
            return Err(TrainingRefusal::NotAnMlp(queue.encoder_type.as_str()));
        }
        Ok(vec![TrainingEvent::TrainingQueued(Queued {
            model_id: queue.model_id,
            dataset_id: queue.dataset_id,
            encoder_type: queue.encoder_type,
            total_steps: match &queue.import_from {
                None => u64::from(queue.hyperparameters.training_steps),
                Some(_) => 0,
            },
            import_from: queue.import_from,
            placement: queue.placement.map(Box::new),
            hyperparameters: queue.hyperparameters,
        })])
    }

    pub(in crate::training) fn on_queued(&mut self, queued: &Queued) -> bool {
        if self.status != TrainingStatus::Absent {
            return false;
        }
        self.status = TrainingStatus::Queued;
        self.total_steps = queued.total_steps;
        self.placement = queued.placement.as_deref().cloned();
        self.definition = Some(Definition {
            model_id: queued.model_id.clone(),
            dataset_id: queued.dataset_id.clone(),
            encoder_type: queued.encoder_type,
            hyperparameters: queued.hyperparameters.clone(),
            import_from: queued.import_from.clone(),
        });
        true
    }
}
