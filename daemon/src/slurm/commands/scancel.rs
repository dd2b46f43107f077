//! Cancelling.

use super::super::{Cluster, SlurmError, call::Call};

impl Cluster {
    /// Cancels jobs or tasks of arrays, by what SLURM calls them. One that has ended, or that SLURM does not know any more, is no error.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub async fn scancel(&self, sbatch_ids: &[&str]) -> Result<(), SlurmError> {
        if sbatch_ids.is_empty() {
            return Ok(());
        }
        let answer = Call::query(self, "scancel", sbatch_ids.iter().copied())
            .answer()
            .await?;
        let has_ended = [
            "Invalid job id specified",
            "already completing or completed",
        ];
        match answer.text(self, "scancel") {
            Err(SlurmError::Refused { message, .. })
                if has_ended.iter().any(|text| message.contains(text)) =>
            {
                Ok(())
            }
            answer => answer.map(drop),
        }
    }
}
