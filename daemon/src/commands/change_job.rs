//! Commands that ask a job to end, or to be tried again.

use super::{Accepted, Caller, CommandError, Commands};
use trainmaster_domain::{
    id::JobId,
    job::{Job, JobCommand},
};

impl Commands {
    /// Ends a job; nothing of it is kept.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn cancel_job(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        self.change_job(id, JobCommand::RequestCancel, caller, "cancel")
            .await
    }

    /// Tries a failed job again.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn retry_job(&self, id: &str, caller: &Caller) -> Result<Accepted, CommandError> {
        self.change_job(id, JobCommand::Retry, caller, "retry")
            .await
    }

    async fn change_job(
        &self,
        id: &str,
        command: JobCommand,
        caller: &Caller,
        verb: &str,
    ) -> Result<Accepted, CommandError> {
        JobId::new(id)?;
        let route = format!("jobs/{id}/{verb}");
        self.execute::<Job>(id, command, caller, &route, None).await
    }
}
