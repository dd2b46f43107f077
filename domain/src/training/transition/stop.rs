//! queued, initializing, training, paused → stopped: ended early, with the autoencoder kept.

use crate::{
    Lease,
    run::{control::Request, journal::Finished},
    training::{Ended, ResultFiles, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    /// What has a checkpoint needs a run to make a result of it; what never ran ends at once.
    pub(in crate::training) fn request_stop(&self) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        let asked = self.requested == Some(Request::Stop);
        match self.status {
            TrainingStatus::Absent => Err(TrainingRefusal::Absent),
            _ if asked => Ok(vec![]),
            TrainingStatus::Initializing | TrainingStatus::Training => {
                Ok(vec![TrainingEvent::StopRequested {}])
            }
            TrainingStatus::Queued | TrainingStatus::Paused if self.latest_checkpoint.is_none() => {
                Ok(vec![TrainingEvent::TrainingStopped(Ended {
                    lease: self.attempts.lease,
                    seq: 0,
                    step: 0,
                    result: None,
                })])
            }
            TrainingStatus::Queued => Ok(vec![TrainingEvent::StopRequested {}]),
            TrainingStatus::Paused => Ok(vec![
                TrainingEvent::StopRequested {},
                TrainingEvent::TrainingResumed {},
            ]),
            other => Err(TrainingRefusal::NotAllowed {
                status: other.as_str(),
                wanted: "stopped",
            }),
        }
    }

    /// The run says that it has stopped.
    pub(in crate::training) fn stop(
        &self,
        lease: Lease,
        seq: u64,
        finished: Finished,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if !self.status.is_running() {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "stopped",
            });
        }
        if finished.step > self.total_steps {
            return Err(TrainingRefusal::Unbelievable(format!(
                "it stopped at step {} of {}",
                finished.step, self.total_steps
            )));
        }
        let mut events = self.produce_model(lease, &finished);
        events.push(TrainingEvent::TrainingStopped(ended(lease, seq, finished)));
        Ok(events)
    }

    pub(in crate::training) fn on_stopped(&mut self, ended: &Ended) -> bool {
        let before_running = matches!(self.status, TrainingStatus::Queued | TrainingStatus::Paused)
            && ended.result.is_none()
            && self.latest_checkpoint.is_none();
        let by_run =
            self.status.is_running() && ended.result.is_some() && ended.step <= self.total_steps;
        if !(before_running || by_run) || ended.lease != self.attempts.lease {
            return false;
        }
        self.end(TrainingStatus::Stopped, ended);
        true
    }

    pub(super) fn end(&mut self, status: TrainingStatus, ended: &Ended) {
        self.status = status;
        self.requested = None;
        self.current_step = ended.step;
        self.result.clone_from(&ended.result);
        self.attempts.on_ended(ended.seq);
    }
}

pub(super) fn ended(lease: Lease, seq: u64, finished: Finished) -> Ended {
    Ended {
        lease,
        seq,
        step: finished.step,
        result: Some(ResultFiles {
            path: finished.path,
            sha256: finished.sha256,
        }),
    }
}
