//! initializing, training → paused: first a request, then a rest at a checkpoint; or, past the deadline, an end by force.

use crate::{
    Lease,
    run::{control::Request, journal::AtStep},
    training::{Paused, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    /// Asking again changes nothing; a training that is asked to stop stops.
    pub(in crate::training) fn request_pause(&self) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        match self.status {
            TrainingStatus::Absent => Err(TrainingRefusal::Absent),
            TrainingStatus::Initializing | TrainingStatus::Training => Ok(match self.requested {
                None => vec![TrainingEvent::PauseRequested {}],
                Some(_) => vec![],
            }),
            other => Err(TrainingRefusal::NotAllowed {
                status: other.as_str(),
                wanted: "paused",
            }),
        }
    }

    /// The run says that it rests. It may do so unasked: SIGTERM, as at a machine's shutdown, means pause.
    pub(in crate::training) fn pause(
        &self,
        lease: Lease,
        seq: u64,
        at: AtStep,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if !self.status.is_running() {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "paused",
            });
        }
        if at.step != self.resume_step() {
            return Err(TrainingRefusal::Unbelievable(format!(
                "it rests at step {}, but its latest checkpoint is of step {}",
                at.step,
                self.resume_step()
            )));
        }
        Ok(vec![TrainingEvent::TrainingPaused(Paused {
            lease,
            seq,
            step: at.step,
            forced: false,
        })])
    }

    /// The run did not rest in time and has been ended: it will go on from its latest checkpoint.
    pub(in crate::training) fn end_overdue_pause(
        &self,
        lease: Lease,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        self.attempts.fence(lease)?;
        if self.requested != Some(Request::Pause) {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "paused by force",
            });
        }
        Ok(vec![TrainingEvent::TrainingPaused(Paused {
            lease,
            seq: 0,
            step: self.resume_step(),
            forced: true,
        })])
    }

    pub(in crate::training) fn on_requested(&mut self, request: Request) -> bool {
        let legal = match request {
            Request::Pause => self.status.is_running() && self.requested.is_none(),
            Request::Stop => {
                matches!(
                    self.status,
                    TrainingStatus::Queued
                        | TrainingStatus::Initializing
                        | TrainingStatus::Training
                        | TrainingStatus::Paused
                ) && self.requested != Some(Request::Stop)
            }
        };
        if legal {
            self.requested = Some(request);
        }
        legal
    }

    pub(in crate::training) fn on_paused(&mut self, paused: &Paused) -> bool {
        if !self.status.is_running()
            || paused.lease != self.attempts.lease
            || paused.step != self.resume_step()
        {
            return false;
        }
        self.status = TrainingStatus::Paused;
        self.requested = None;
        self.current_step = paused.step;
        self.attempts.on_ended(paused.seq);
        true
    }
}
