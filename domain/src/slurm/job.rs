//! A SLURM job, as its events tell: intended → submitted (pending) → running → completed or failed; back to pending whenever SLURM puts it
//! back into its queue.

use super::{
    event::{
        Ended, Failed, HandedOver, Refused, Requeued, SlurmJobEvent, Started, StateSeen,
        Submission, Submitted,
    },
    state::SlurmState,
};
use crate::{
    Aggregate, Category, Event, Lease,
    envelope::{IllegalTransition, WrongCategory},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The status of a SLURM job, and `Absent` before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlurmJobStatus {
    /// Nothing has happened.
    #[default]
    Absent,
    /// It is about to be submitted.
    Intended,
    /// SLURM would not have it.
    Refused,
    /// In SLURM's queue.
    Pending,
    /// On its node.
    Running,
    /// It ended well.
    Completed,
    /// It ended otherwise.
    Failed,
}

impl SlurmJobStatus {
    /// As JSON has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Intended => "intended",
            Self::Refused => "refused",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether SLURM has it, or may have it.
    #[must_use]
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Intended | Self::Pending | Self::Running)
    }
}

/// What can be said of a SLURM job.
#[derive(Clone, Debug, PartialEq)]
pub enum SlurmJobCommand {
    /// It is about to be submitted.
    Intend(Box<Submission>),
    /// SLURM has it, under this id.
    NoteSubmitted {
        /// `123`, or `123_4` for a task of an array.
        sbatch_id: String,
    },
    /// SLURM would not have it.
    NoteRefused {
        /// What `sbatch` said.
        message: String,
    },
    /// SLURM was asked.
    Observe(Observation),
    /// It goes on under the next lease of its run.
    HandOver {
        /// The lease.
        lease: Lease,
    },
    /// It is to be cancelled.
    RequestCancel,
}

/// What SLURM says of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// Its state; none when SLURM does not know the job any more, nor does its accounting.
    pub state: Option<SlurmState>,
    /// When it was started last, or is expected to be: believed only of a job that runs or ran.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// How often it has been put back into the queue.
    pub restarts: u32,
    /// Why it is in its state, as SLURM says.
    pub reason: Option<String>,
    /// Its exit status, as SLURM prints it (`1:0`).
    pub exit_code: Option<String>,
    /// That the run's own result is there and whole: what is believed when SLURM does not know.
    pub proven: bool,
    /// Now, by the database's clock.
    pub now: DateTime<Utc>,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlurmJobRefusal {
    /// No such job.
    #[error("there is no such SLURM job")]
    Absent,
    /// The id is taken: this attempt was to be submitted before.
    #[error("this attempt has been submitted, or was to be")]
    Exists,
    /// The status does not allow it.
    #[error("a SLURM job that is {status} cannot be {wanted}")]
    NotAllowed {
        /// What it is.
        status: &'static str,
        /// What was wanted, as a participle.
        wanted: &'static str,
    },
    /// SLURM gave it another id before.
    #[error("it was submitted as {known}, not {given}")]
    OtherId {
        /// The id that is known.
        known: String,
        /// The other.
        given: String,
    },
}

/// A SLURM job, as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SlurmJob {
    status: SlurmJobStatus,
    submission: Option<Submission>,
    sbatch_id: Option<String>,
    lease: Lease,
    /// How often SLURM has put it back.
    restarts: u32,
    /// From which restart on the lease holds.
    lease_restarts: u32,
    cancel_requested: bool,
    started_at: Option<DateTime<Utc>>,
    seen_state: Option<String>,
    failure: Option<Failed>,
    refusal: Option<String>,
}

impl SlurmJob {
    /// Its status.
    #[must_use]
    pub const fn status(&self) -> SlurmJobStatus {
        self.status
    }
    /// What was, or is to be, submitted.
    #[must_use]
    pub const fn submission(&self) -> Option<&Submission> {
        self.submission.as_ref()
    }
    /// What SLURM calls it.
    #[must_use]
    pub fn sbatch_id(&self) -> Option<&str> {
        self.sbatch_id.as_deref()
    }
    /// The lease under which it is executed.
    #[must_use]
    pub const fn lease(&self) -> Lease {
        self.lease
    }
    /// How often SLURM has put it back into its queue.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }
    /// From which restart on its lease holds: below [`Self::restarts`], the next lease is to be handed to it.
    #[must_use]
    pub const fn lease_restarts(&self) -> u32 {
        self.lease_restarts
    }
    /// Whether it was cancelled by request of the daemon.
    #[must_use]
    pub const fn cancel_requested(&self) -> bool {
        self.cancel_requested
    }
    /// Whether it has had its node since it was last put into the queue.
    #[must_use]
    pub const fn has_started(&self) -> bool {
        self.started_at.is_some()
    }
    /// The last state that this version does not know, while nothing else was seen.
    #[must_use]
    pub fn seen_state(&self) -> Option<&str> {
        self.seen_state.as_deref()
    }
    /// Why SLURM would not have it.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }
    /// How it failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failed> {
        self.failure.as_ref()
    }

    fn not_allowed(&self, wanted: &'static str) -> SlurmJobRefusal {
        match self.status {
            SlurmJobStatus::Absent => SlurmJobRefusal::Absent,
            status => SlurmJobRefusal::NotAllowed {
                status: status.as_str(),
                wanted,
            },
        }
    }

    fn note_submitted(&self, sbatch_id: String) -> Result<Vec<SlurmJobEvent>, SlurmJobRefusal> {
        match (&self.sbatch_id, &self.submission, self.status) {
            (Some(known), ..) if *known == sbatch_id => Ok(vec![]),
            (Some(known), ..) => Err(SlurmJobRefusal::OtherId {
                known: known.clone(),
                given: sbatch_id,
            }),
            (None, Some(submission), SlurmJobStatus::Intended) => {
                Ok(vec![SlurmJobEvent::SlurmJobSubmitted(Submitted {
                    sbatch_id,
                    submission: submission.clone(),
                })])
            }
            _ => Err(self.not_allowed("submitted")),
        }
    }

    /// What SLURM says, brought to what is known. A job that began and ended since the last look has begun, and has ended.
    fn observe(&self, seen: Observation) -> Result<Vec<SlurmJobEvent>, SlurmJobRefusal> {
        if self.sbatch_id.is_none() {
            return Err(self.not_allowed("observed"));
        }
        let mut events = Vec::new();
        let ended = !self.status.is_live();
        let pending = seen.state == Some(SlurmState::Pending);
        let back =
            seen.restarts > self.restarts || (pending && self.status == SlurmJobStatus::Running);
        if back {
            events.push(SlurmJobEvent::SlurmJobRequeued(Requeued {
                restarts: seen.restarts.max(
                    self.restarts
                        .saturating_add(u32::from(seen.restarts <= self.restarts)),
                ),
                reason: seen.reason.clone(),
            }));
        } else if ended {
            // SLURM goes on speaking of it for a while.
            return Ok(vec![]);
        }
        let restarts = seen.restarts.max(self.restarts);
        let has_started = self.status == SlurmJobStatus::Running && !back;
        let running = seen.state == Some(SlurmState::Running);
        let started_at = seen.started_at.or_else(|| running.then_some(seen.now));
        // While a job that was put back is cleared away, its start is when it ended, or when it is to begin again.
        let first_turn = restarts == 0;
        if let Some(at) = started_at.filter(|_| !has_started)
            && (matches!(
                seen.state,
                Some(SlurmState::Running | SlurmState::Completed)
            ) || (seen.state == Some(SlurmState::Completing) && first_turn)
                || (matches!(seen.state, Some(SlurmState::Failed(_)))
                    && seen.ended_at.is_some_and(|end| end > at)))
        {
            events.push(SlurmJobEvent::SlurmJobStarted(Started { at, restarts }));
        }
        match seen.state {
            Some(SlurmState::Pending | SlurmState::Running | SlurmState::Completing) => {}
            Some(SlurmState::Unknown(state)) => {
                if self.seen_state.as_ref() != Some(&state) {
                    events.push(SlurmJobEvent::SlurmStateSeen(StateSeen { state }));
                }
            }
            Some(SlurmState::Completed) => {
                events.push(SlurmJobEvent::SlurmJobCompleted(Ended {
                    at: seen.ended_at.unwrap_or(seen.now),
                }));
            }
            Some(SlurmState::Failed(failure)) => {
                let name = failure.as_str();
                let exit = seen
                    .exit_code
                    .filter(|code| code != "0:0")
                    .map(|code| format!(", exit code {code}"))
                    .unwrap_or_default();
                let reason = seen
                    .reason
                    .filter(|reason| !reason.is_empty() && reason != "None")
                    .map(|reason| format!(" ({reason})"))
                    .unwrap_or_default();
                events.push(SlurmJobEvent::SlurmJobFailed(Failed {
                    at: seen.ended_at.unwrap_or(seen.now),
                    state: Some(name.to_owned()),
                    message: format!("SLURM ended it: {name}{exit}{reason}."),
                }));
            }
            None if seen.proven => {
                events.push(SlurmJobEvent::SlurmJobCompleted(Ended { at: seen.now }));
            }
            None => events.push(SlurmJobEvent::SlurmJobFailed(Failed {
                at: seen.now,
                state: None,
                message: "outcome unknown: SLURM does not know the job any more, and there is no result that would prove \
                          its success."
                    .to_owned(),
            })),
        }
        Ok(events)
    }
}

impl Aggregate for SlurmJob {
    const CATEGORY: Category = Category::SlurmJob;
    type Command = SlurmJobCommand;
    type Event = SlurmJobEvent;
    type Refusal = SlurmJobRefusal;

    fn decide(&self, command: SlurmJobCommand) -> Result<Vec<SlurmJobEvent>, SlurmJobRefusal> {
        match command {
            SlurmJobCommand::Intend(submission) => match self.status {
                SlurmJobStatus::Absent => {
                    Ok(vec![SlurmJobEvent::SlurmSubmissionIntended(*submission)])
                }
                SlurmJobStatus::Intended if self.submission.as_ref() == Some(&*submission) => {
                    Ok(vec![])
                }
                _ => Err(SlurmJobRefusal::Exists),
            },
            SlurmJobCommand::NoteSubmitted { sbatch_id } => self.note_submitted(sbatch_id),
            SlurmJobCommand::NoteRefused { message } => match self.status {
                SlurmJobStatus::Intended => {
                    Ok(vec![SlurmJobEvent::SlurmSubmissionRefused(Refused {
                        message,
                    })])
                }
                SlurmJobStatus::Refused => Ok(vec![]),
                _ => Err(self.not_allowed("refused")),
            },
            SlurmJobCommand::Observe(seen) => self.observe(seen),
            SlurmJobCommand::HandOver { lease } => {
                if lease == self.lease && self.lease_restarts == self.restarts {
                    Ok(vec![])
                } else if lease > self.lease && self.status.is_live() {
                    Ok(vec![SlurmJobEvent::SlurmJobHandedOver(HandedOver {
                        lease,
                        restarts: self.restarts,
                    })])
                } else {
                    Err(self.not_allowed("handed over"))
                }
            }
            SlurmJobCommand::RequestCancel => {
                if self.status == SlurmJobStatus::Absent {
                    Err(SlurmJobRefusal::Absent)
                } else if self.cancel_requested || !self.status.is_live() {
                    Ok(vec![])
                } else {
                    Ok(vec![SlurmJobEvent::SlurmCancelRequested {}])
                }
            }
        }
    }

    fn evolve(&mut self, event: &SlurmJobEvent) -> Result<(), IllegalTransition> {
        use SlurmJobStatus::{Absent, Completed, Failed, Intended, Pending, Refused, Running};
        match (event, self.status) {
            (SlurmJobEvent::SlurmSubmissionIntended(submission), Absent) => {
                self.lease = submission.lease;
                self.submission = Some(submission.clone());
                self.status = Intended;
            }
            (SlurmJobEvent::SlurmJobSubmitted(submitted), Intended) => {
                self.sbatch_id = Some(submitted.sbatch_id.clone());
                self.status = Pending;
            }
            (SlurmJobEvent::SlurmSubmissionRefused(refused), Intended) => {
                self.refusal = Some(refused.message.clone());
                self.status = Refused;
            }
            (SlurmJobEvent::SlurmJobStarted(started), Pending) => {
                self.started_at = Some(started.at);
                self.seen_state = None;
                self.status = Running;
            }
            (SlurmJobEvent::SlurmJobRequeued(requeued), Pending | Running | Completed | Failed)
                if requeued.restarts > self.restarts =>
            {
                self.restarts = requeued.restarts;
                self.started_at = None;
                self.seen_state = None;
                self.failure = None;
                self.status = Pending;
            }
            (SlurmJobEvent::SlurmJobHandedOver(handed), Intended | Pending | Running)
                if handed.lease > self.lease =>
            {
                self.lease = handed.lease;
                self.lease_restarts = handed.restarts;
            }
            (SlurmJobEvent::SlurmCancelRequested {}, Intended | Pending | Running) => {
                self.cancel_requested = true;
            }
            (SlurmJobEvent::SlurmStateSeen(seen), Pending | Running) => {
                self.seen_state = Some(seen.state.clone());
            }
            (SlurmJobEvent::SlurmJobCompleted(_), Pending | Running) => {
                self.seen_state = None;
                self.status = Completed;
            }
            (SlurmJobEvent::SlurmJobFailed(failed), Pending | Running) => {
                self.seen_state = None;
                self.failure = Some(failed.clone());
                self.status = Failed;
            }
            (event, status) => {
                return Err(IllegalTransition {
                    category: Category::SlurmJob,
                    status: status.as_str(),
                    event: event.event_type(),
                });
            }
        }
        Ok(())
    }
}

impl From<SlurmJobEvent> for Event {
    fn from(event: SlurmJobEvent) -> Self {
        Self::SlurmJob(event)
    }
}

impl TryFrom<Event> for SlurmJobEvent {
    type Error = WrongCategory;
    fn try_from(event: Event) -> Result<Self, WrongCategory> {
        match event {
            Event::SlurmJob(event) => Ok(event),
            other => Err(WrongCategory {
                event: other.event_type(),
                expected: Category::SlurmJob,
            }),
        }
    }
}
