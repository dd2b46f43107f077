//! What each event makes of a model.

use crate::{
    Category,
    envelope::IllegalTransition,
    model::{Model, ModelEvent, ModelStatus},
};

impl Model {
    pub(super) fn apply(&mut self, event: &ModelEvent) -> Result<(), IllegalTransition> {
        use ModelStatus::{Absent, Downloading, Error, Loading, Quantizing, Ready};
        let current = |lease| lease == self.attempts.lease;
        let holder = |lease| self.attempts.live && current(lease);
        match (event, self.status) {
            (ModelEvent::ModelRegistered(registered), Absent) => {
                self.registered = Some(registered.clone());
                self.status = Downloading;
            }
            (ModelEvent::ModelDownloaded(files), Downloading)
                if files.fetched.as_ref().is_none_or(|by| holder(by.lease)) =>
            {
                if let Some(fetched) = &files.fetched {
                    self.attempts.on_heard(fetched.seq);
                    self.attempts.crashes = 0;
                }
                self.files = Some(files.clone());
                self.status = Loading;
            }
            (ModelEvent::ModelClaimed(claimed), status)
                if status.is_running()
                    && !self.attempts.live
                    && claimed.lease == self.attempts.lease.next() =>
            {
                self.attempts.on_claimed(claimed);
            }
            (ModelEvent::ModelProgressed(progressed), status)
                if status.is_running() && holder(progressed.lease) =>
            {
                self.attempts.on_heard(progressed.seq);
                if status == Downloading && progressed.percent > 0.0 {
                    // What has been fetched stays, however the run ends.
                    self.attempts.crashes = 0;
                }
            }
            (ModelEvent::ModelInspected(found), Loading | Quantizing) if holder(found.lease) => {
                self.attempts.crashes = 0;
                let layers = &found.architecture_config["num_layers"];
                self.num_layers = layers
                    .as_u64()
                    .and_then(|layers| u32::try_from(layers).ok())
                    .unwrap_or(0);
                if found.converts_to.is_some() {
                    self.attempts.on_heard(found.seq);
                    self.status = Quantizing;
                } else {
                    self.attempts.on_ended(found.seq);
                    self.status = Ready;
                }
            }
            (ModelEvent::ModelQuantized(quantized), Quantizing) if holder(quantized.lease) => {
                self.attempts.on_ended(quantized.seq);
                self.attempts.crashes = 0;
                self.quantized = Some(quantized.clone());
                self.status = Ready;
            }
            (ModelEvent::ModelFailed(failed), status)
                if (status.is_running() || status == Error) && current(failed.lease) =>
            {
                if status != Error {
                    self.interrupted = status;
                    self.attempts.on_broken();
                }
                self.attempts.on_ended(failed.seq);
                self.status = Error;
            }
            (ModelEvent::ModelLeaseExpired(expired), status)
                if status.is_running() && holder(expired.lease) =>
            {
                self.attempts.on_lost(expired.reason);
                self.interrupted = status;
                self.status = Error;
            }
            (ModelEvent::ModelRetried(retried), Error) => {
                self.attempts.on_retried(retried);
                self.status = self.interrupted;
            }
            (ModelEvent::ModelDeleted {}, status)
                if ![Absent, ModelStatus::Deleted].contains(&status) && !self.attempts.live =>
            {
                self.status = ModelStatus::Deleted;
            }
            (event, status) => {
                return Err(IllegalTransition {
                    category: Category::Model,
                    status: status.as_str(),
                    event: event.event_type(),
                });
            }
        }
        Ok(())
    }
}
