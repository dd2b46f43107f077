//! What each event makes of a dataset.

use super::TokenizedFor;
use crate::{
    Category,
    dataset::{Dataset, DatasetEvent, DatasetStatus},
    envelope::IllegalTransition,
};

impl Dataset {
    pub(super) fn apply(&mut self, event: &DatasetEvent) -> Result<(), IllegalTransition> {
        use DatasetStatus::{Absent, Downloading, Error, Ingesting, Ready, Tokenizing};
        let holder = |lease| self.attempts.live && lease == self.attempts.lease;
        match (event, self.status) {
            (DatasetEvent::DatasetRegistered(registered), Absent) => {
                self.tokenizer = Some(registered.tokenizer_model_id.clone());
                self.registered = Some(registered.clone());
                self.status = Downloading;
            }
            (DatasetEvent::DatasetDownloaded(files), Downloading)
                if files.fetched.as_ref().is_none_or(|by| holder(by.lease)) =>
            {
                if let Some(fetched) = &files.fetched {
                    self.attempts.on_heard(fetched.seq);
                    self.attempts.crashes = 0;
                }
                self.files = Some(files.clone());
                self.status = Ingesting;
            }
            (DatasetEvent::DatasetClaimed(claimed), status)
                if status.is_running()
                    && !self.attempts.live
                    && claimed.lease == self.attempts.lease.next() =>
            {
                self.attempts.on_claimed(claimed);
            }
            (DatasetEvent::DatasetProgressed(progressed), status)
                if status.is_running() && holder(progressed.lease) =>
            {
                self.attempts.on_heard(progressed.seq);
                if status == Downloading && progressed.percent > 0.0 {
                    // What has been fetched stays, however the run ends.
                    self.attempts.crashes = 0;
                }
            }
            (DatasetEvent::DatasetIngested(ingested), Ingesting) if holder(ingested.lease) => {
                self.attempts.on_heard(ingested.seq);
                self.content_sha256.clone_from(&ingested.content_sha256);
                self.status = Tokenizing;
            }
            (DatasetEvent::DatasetTokenized(tokenized), Tokenizing) if holder(tokenized.lease) => {
                self.attempts.on_ended(tokenized.seq);
                self.attempts.crashes = 0;
                if let Some(model) = self.tokenizer.clone() {
                    self.tokenized.retain(|before| before.model != model);
                    self.tokenized.push(TokenizedFor {
                        model,
                        path: tokenized.tokenized_path.clone(),
                    });
                }
                self.status = Ready;
            }
            (DatasetEvent::DatasetFailed(failed), status)
                if (status.is_running() || status == Error)
                    && failed.lease == self.attempts.lease =>
            {
                if status != Error {
                    self.interrupted = status;
                    self.attempts.on_broken();
                }
                self.attempts.on_ended(failed.seq);
                self.status = Error;
            }
            (DatasetEvent::DatasetLeaseExpired(expired), status)
                if status.is_running() && holder(expired.lease) =>
            {
                self.attempts.on_lost(expired.reason);
                self.interrupted = status;
                self.status = Error;
            }
            (DatasetEvent::DatasetRetried(retried), Error) => {
                self.attempts.on_retried(retried);
                self.status = self.interrupted;
            }
            (DatasetEvent::DatasetTokenizationRequested(requested), Ready | Error)
                if self.status == Ready || self.is_in_error_of_tokenizing() =>
            {
                self.tokenizer = Some(requested.tokenizer_model_id.clone());
                self.attempts.crashes = 0;
                self.attempts.not_before = None;
                self.status = Tokenizing;
            }
            (DatasetEvent::DatasetDeleted {}, status)
                if ![Absent, DatasetStatus::Deleted].contains(&status) && !self.attempts.live =>
            {
                self.status = DatasetStatus::Deleted;
            }
            (event, status) => {
                return Err(IllegalTransition {
                    category: Category::Dataset,
                    status: status.as_str(),
                    event: event.event_type(),
                });
            }
        }
        Ok(())
    }
}
