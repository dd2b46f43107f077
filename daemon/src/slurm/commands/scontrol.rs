//! What is said to the controller about one job, and what it says of itself.

use super::super::{Cluster, SlurmError, call::Call};
use std::collections::HashMap;

impl Cluster {
    /// Puts a job that runs, or that ended and is still known, back into the queue.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub async fn requeue(&self, sbatch_id: &str) -> Result<(), SlurmError> {
        self.scontrol(["requeue", sbatch_id]).await.map(drop)
    }

    /// Lets a job go that is held.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub async fn release(&self, sbatch_id: &str) -> Result<(), SlurmError> {
        self.scontrol(["release", sbatch_id]).await.map(drop)
    }

    /// Lets a job begin that was put back into the queue, where it would wait for two minutes otherwise.
    ///
    /// # Errors
    /// [`SlurmError`].
    pub async fn start_now(&self, sbatch_id: &str) -> Result<(), SlurmError> {
        let job = format!("JobId={sbatch_id}");
        self.scontrol(["update", &job, "StartTime=now"])
            .await
            .map(drop)
    }

    /// Whether the controller answers.
    ///
    /// # Errors
    /// [`SlurmError`]: it does not, or there is no such program.
    pub async fn ping(&self) -> Result<(), SlurmError> {
        let answer = Call::query(self, "scontrol", ["ping"]).answer().await?;
        let printed = String::from_utf8_lossy(&answer.printed);
        let line = |says: &str| printed.lines().find(|line| line.contains(says));
        // A controller may have others that stand in for it.
        match (line(" is UP"), line(" is DOWN")) {
            (Some(_), _) => Ok(()),
            (None, Some(down)) => Err(SlurmError::Silent {
                cluster: self.name.clone(),
                message: down.trim().to_owned(),
                unclear: false,
            }),
            (None, None) => answer.text(self, "scontrol").map(drop),
        }
    }

    /// The controller's configuration.
    pub(in crate::slurm) async fn configuration(
        &self,
    ) -> Result<HashMap<String, String>, SlurmError> {
        let printed = self.scontrol(["show", "config"]).await?;
        let pairs = printed.lines().filter_map(|line| line.split_once('='));
        Ok(pairs
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect())
    }

    async fn scontrol<const N: usize>(&self, arguments: [&str; N]) -> Result<String, SlurmError> {
        let call = Call::query(self, "scontrol", arguments);
        call.answer().await?.text(self, "scontrol")
    }
}
