//! training → training: a checkpoint is durable. It counts as progress, so losses before it no longer count in a row.

use crate::{
    Lease,
    id::{CheckpointId, InvalidId},
    run::journal,
    training::{
        Checkpoint, CheckpointSaved, KeptCheckpoint, Training, TrainingEvent, TrainingRefusal,
        TrainingStatus,
    },
};

impl Training {
    pub(in crate::training) fn save_checkpoint(
        &self,
        lease: Lease,
        seq: u64,
        saved: journal::CheckpointSaved,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Training {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "saved",
            });
        }
        if self
            .latest_checkpoint
            .as_ref()
            .is_some_and(|latest| latest.step == saved.step)
        {
            return Ok(vec![]);
        }
        if saved.step < self.resume_step() || saved.step > self.total_steps {
            return Err(TrainingRefusal::Unbelievable(format!(
                "a checkpoint of step {} cannot follow one of step {} in {} steps",
                saved.step,
                self.resume_step(),
                self.total_steps
            )));
        }
        Ok(vec![TrainingEvent::CheckpointSaved(CheckpointSaved {
            lease,
            seq,
            checkpoint_id: checkpoint_id(&saved.sha256, saved.step, &saved.path)?,
            step: saved.step,
            loss: saved.loss,
            sparsity: saved.sparsity,
            storage_path: saved.path,
            file_size_bytes: saved.file_size_bytes,
            sha256: saved.sha256,
        })])
    }

    pub(in crate::training) fn on_checkpoint(&mut self, saved: &CheckpointSaved) -> bool {
        if self.status != TrainingStatus::Training
            || saved.lease != self.attempts.lease
            || self
                .latest_checkpoint
                .as_ref()
                .is_some_and(|latest| saved.step <= latest.step)
            || saved.step > self.total_steps
        {
            return false;
        }
        self.checkpoints.push(KeptCheckpoint {
            id: saved.checkpoint_id.clone(),
            step: saved.step,
            loss: saved.loss,
            path: saved.storage_path.clone(),
            size_bytes: saved.file_size_bytes,
        });
        self.latest_checkpoint = Some(Checkpoint {
            id: saved.checkpoint_id.clone(),
            step: saved.step,
            path: saved.storage_path.clone(),
            sha256: saved.sha256.clone(),
        });
        self.attempts.on_heard(saved.seq);
        self.attempts.crashes = 0;
        true
    }
}

/// Unique among all trainings without randomness: FNV-1a over the place and content of the checkpoint, and its step.
fn checkpoint_id(sha256: &str, step: u64, path: &str) -> Result<CheckpointId, InvalidId> {
    let digest = path
        .bytes()
        .chain(sha256.bytes())
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    CheckpointId::mint(&format!("{digest:016x}_{step}"))
}
