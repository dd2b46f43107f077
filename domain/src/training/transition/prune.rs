//! What has grown old is done without: recorded steps, checkpoints, weak examples of features. What a training may still go on from stays.

use crate::{
    id::CheckpointId,
    training::{
        ActivationsPruned, CheckpointPruned, KeptCheckpoint, MetricsPruned, Prune, Training,
        TrainingEvent, TrainingRefusal, TrainingStatus, Unneeded,
    },
};
use chrono::{DateTime, Utc};

impl Training {
    pub(in crate::training) fn prune(
        &self,
        prune: Prune,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        match self.status {
            TrainingStatus::Absent => return Err(TrainingRefusal::Absent),
            TrainingStatus::Deleted => return Err(self.not_pruned()),
            _ => {}
        }
        match prune {
            Prune::Metrics { before } => self.prune_metrics(before),
            Prune::Checkpoint { id, because } => self.prune_checkpoint(&id, because),
            Prune::Activations { keep_top, minimum } => {
                if keep_top == 0 || !minimum.is_finite() {
                    return Err(TrainingRefusal::Activations);
                }
                if !self.status.has_ended() {
                    return Err(self.not_pruned());
                }
                Ok(vec![TrainingEvent::ActivationsPruned(ActivationsPruned {
                    keep_top,
                    minimum,
                })])
            }
        }
    }

    fn not_pruned(&self) -> TrainingRefusal {
        TrainingRefusal::NotAllowed {
            status: self.status.as_str(),
            wanted: "pruned",
        }
    }

    fn prune_metrics(&self, before: DateTime<Utc>) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if !self.status.has_ended() {
            return Err(self.not_pruned());
        }
        if self
            .metrics_pruned_before
            .is_some_and(|pruned| pruned >= before)
        {
            return Ok(vec![]);
        }
        Ok(vec![TrainingEvent::MetricsPruned(MetricsPruned { before })])
    }

    pub(in crate::training) fn on_metrics_pruned(&mut self, pruned: &MetricsPruned) -> bool {
        if self.status.has_ended() {
            self.metrics_pruned_before = Some(pruned.before);
        }
        self.status.has_ended()
    }

    /// One that is not there (any more) is no reason to complain.
    fn prune_checkpoint(
        &self,
        id: &CheckpointId,
        because: Unneeded,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        let Some(checkpoint) = self.checkpoints.iter().find(|kept| kept.id == *id) else {
            return Ok(vec![]);
        };
        let needed = |why| {
            Err(TrainingRefusal::Needed {
                id: id.clone(),
                why,
            })
        };
        if self.resumes_from(checkpoint) {
            return needed("the training goes on from it");
        }
        match because {
            Unneeded::Superseded { keep_last } => {
                let newer = self
                    .checkpoints
                    .iter()
                    .filter(|kept| kept.step > checkpoint.step)
                    .count();
                if newer < keep_last as usize {
                    return needed("it is one of the newest");
                }
                if self.best_checkpoint().is_some_and(|best| best.id == *id) {
                    return needed("its loss is the lowest");
                }
            }
            Unneeded::Expired if !self.status.has_ended() => {
                return needed("the training has not ended");
            }
            Unneeded::Expired => {}
        }
        Ok(vec![TrainingEvent::CheckpointPruned(CheckpointPruned {
            checkpoint_id: checkpoint.id.clone(),
            step: checkpoint.step,
            storage_path: checkpoint.path.clone(),
            file_size_bytes: checkpoint.size_bytes,
        })])
    }

    /// Whether another attempt would go on from it: not once nothing can follow.
    fn resumes_from(&self, checkpoint: &KeptCheckpoint) -> bool {
        !self.status.is_terminal()
            && self
                .latest_checkpoint
                .as_ref()
                .is_some_and(|latest| latest.id == checkpoint.id)
    }

    /// The one with the lowest loss, the newest of several.
    fn best_checkpoint(&self) -> Option<&KeptCheckpoint> {
        self.checkpoints
            .iter()
            .filter(|kept| kept.loss.is_some_and(f64::is_finite))
            .min_by(|a, b| {
                let of = |kept: &KeptCheckpoint| kept.loss.unwrap_or(f64::INFINITY);
                of(a).total_cmp(&of(b)).then(b.step.cmp(&a.step))
            })
    }

    pub(in crate::training) fn on_checkpoint_pruned(&mut self, pruned: &CheckpointPruned) -> bool {
        let Some(index) = self
            .checkpoints
            .iter()
            .position(|kept| kept.id == pruned.checkpoint_id)
        else {
            return false;
        };
        if self
            .checkpoints
            .get(index)
            .is_some_and(|kept| self.resumes_from(kept))
        {
            return false;
        }
        self.checkpoints.remove(index);
        true
    }
}
