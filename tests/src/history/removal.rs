//! What is removed now and then: things that nothing needs any more, and parts of trainings that have grown old.

use super::{Command, History, around::Around, cluster::Cluster};
use chrono::TimeDelta;
use trainmaster_domain::{
    Aggregate,
    dataset::DatasetCommand,
    model::ModelCommand,
    training::{Definition, Prune, TrainingCommand, Unneeded},
};

impl History {
    /// None when what was drawn is needed.
    pub(super) fn remove(&mut self) -> Option<Command> {
        match self.draw.below(12) {
            0 => {
                let id = self.draw.one_of(self.datasets.keys()).clone();
                let is_free = !self.refers(|definition| definition.dataset_id.as_str() == id);
                is_free.then_some(Command::Dataset(id, DatasetCommand::Delete))
            }
            1 => {
                let id = self.draw.one_of(self.models.keys()).clone();
                let is_free = !self.refers(|definition| definition.model_id.as_str() == id);
                is_free.then_some(Command::Model(id, ModelCommand::Delete))
            }
            2 | 3 => {
                let id = self.draw.one_of(self.trainings.keys()).clone();
                let is_needed = |around: &Around| around.refers_to_training(&id);
                let predicts = |cluster: &Cluster| cluster.refers_to_training(&id);
                if self.around.as_ref().is_some_and(is_needed)
                    || self.cluster.as_ref().is_some_and(predicts)
                {
                    return None;
                }
                Some(Command::Training(id, TrainingCommand::Delete))
            }
            kind => {
                let id = self.draw.one_of(self.trainings.keys()).clone();
                let prune = match kind {
                    4 | 5 => Prune::Metrics {
                        before: self.now - TimeDelta::seconds(self.draw.below(2_000).cast_signed()),
                    },
                    6 => Prune::Activations {
                        keep_top: 100,
                        minimum: 0.1,
                    },
                    _ => {
                        let checkpoints = self.trainings.get(&id)?.checkpoints();
                        if checkpoints.is_empty() {
                            return None;
                        }
                        Prune::Checkpoint {
                            id: self.draw.one_of(checkpoints).id.clone(),
                            because: if self.draw.one_in(2) {
                                Unneeded::Expired
                            } else {
                                Unneeded::Superseded { keep_last: 2 }
                            },
                        }
                    }
                };
                Some(Command::Training(id, TrainingCommand::Prune(prune)))
            }
        }
    }

    fn refers(&self, to: impl Fn(&Definition) -> bool) -> bool {
        self.trainings
            .values()
            .filter(|training| !training.is_deleted())
            .filter_map(|training| training.definition())
            .any(to)
    }
}
