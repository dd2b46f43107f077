//! A job: work that is neither a dataset's, a model's nor a training's own: queued → running → completed, failed or cancelled.
//!
//! An extraction finds the features of a trained autoencoder, a generation writes text. A kind of job is a variant of [`JobWork`], the
//! records its run may say, and the events that they become; all else is the same for every kind.

mod event;
mod report;
mod work;

pub use event::{
    ActivationsAttached, Ended, FeatureBlock, FeaturesExtracted, FeaturesLabelled, FeaturesScored,
    JobEvent, Predicted, Progressed, Queued, TextGenerated,
};
pub use work::{Extraction, Generation, Intervention, JobWork, Prediction, PredictionInput};

use crate::{
    Aggregate, Category, Event, Lease, StreamId,
    attempt::{Attempts, Claim, LeaseRefusal, Loss, Report, Retried},
    envelope::{IllegalTransition, WrongCategory},
    run::control::Request,
    slurm::{Placement, placement::InvalidPlacement},
};
use serde::{Deserialize, Serialize};

/// Ids in a partition of `feature_activations`. Blocks of feature ids begin at multiples of it, so that no partition holds the features
/// of two trainings.
pub const FEATURES_PER_PARTITION: i64 = 1_000;

/// The longest prompt, in bytes.
pub const MAX_PROMPT_BYTES: usize = 64 * 1024;

/// The status of a job, and `Absent` before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// Nothing has happened.
    #[default]
    Absent,
    /// Waits for a worker, or for another attempt.
    Queued,
    /// Its run is believed to live.
    Running,
    /// Done.
    Completed,
    /// It failed, and is not tried again unless a person asks.
    Failed,
    /// Ended by request.
    Cancelled,
}

impl JobStatus {
    /// As JSON has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it still asks for a worker or has one.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// What can be asked of a job.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a command lives for one decision and is never kept among others"
)]
pub enum JobCommand {
    /// Want it.
    Queue(Queued),
    /// Take it: mint a lease.
    Claim(Claim),
    /// Hear what its run says.
    Report(Box<Report>),
    /// Its run is gone.
    LoseLease(Loss),
    /// End it.
    RequestCancel,
    /// Try again after a failure.
    Retry,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JobRefusal {
    /// No such job.
    #[error("there is no such job")]
    Absent,
    /// The id is taken.
    #[error("there is a job of that id already")]
    Exists,
    /// The status does not allow it.
    #[error("a job that is {status} cannot be {wanted}")]
    NotAllowed {
        /// What it is.
        status: &'static str,
        /// What was wanted, as a participle.
        wanted: &'static str,
    },
    /// The cluster cannot be asked for that.
    #[error(transparent)]
    Placement(#[from] InvalidPlacement),
    /// A value out of its range.
    #[error("{name} must be {must}; it is {given}")]
    Value {
        /// Its name in JSON.
        name: &'static str,
        /// What it must be.
        must: &'static str,
        /// What was given.
        given: String,
    },
    /// About leases.
    #[error(transparent)]
    Lease(#[from] LeaseRefusal),
    /// The journal says what cannot be.
    #[error("the run's journal cannot be believed: {0}")]
    Unbelievable(String),
}

/// A job, as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Job {
    status: JobStatus,
    work: Option<JobWork>,
    placement: Option<Placement>,
    attempts: Attempts,
    cancel_requested: bool,
    text: Option<TextGenerated>,
    predicted: Option<Predicted>,
    extracted: Option<FeaturesExtracted>,
    failure: Option<crate::attempt::Failed>,
    progress: Option<(String, f64)>,
}

impl Job {
    /// Its status.
    #[must_use]
    pub const fn status(&self) -> JobStatus {
        self.status
    }
    /// What it is to do.
    #[must_use]
    pub const fn work(&self) -> Option<&JobWork> {
        self.work.as_ref()
    }
    /// On which cluster it is executed; none: on the daemon's machine.
    #[must_use]
    pub const fn placement(&self) -> Option<&Placement> {
        self.placement.as_ref()
    }
    /// What a prediction found.
    #[must_use]
    pub const fn predicted(&self) -> Option<&Predicted> {
        self.predicted.as_ref()
    }
    /// Claims, leases, losses.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }
    /// What its run is asked to do and has not yet done.
    #[must_use]
    pub fn requested(&self) -> Option<Request> {
        (self.cancel_requested && self.status.is_active()).then_some(Request::Stop)
    }
    /// What a generation wrote.
    #[must_use]
    pub const fn text(&self) -> Option<&TextGenerated> {
        self.text.as_ref()
    }
    /// What an extraction found.
    #[must_use]
    pub const fn extracted(&self) -> Option<&FeaturesExtracted> {
        self.extracted.as_ref()
    }
    /// Why it failed, while it is failed.
    #[must_use]
    pub const fn failure(&self) -> Option<&crate::attempt::Failed> {
        self.failure.as_ref()
    }
    /// The stage and its percent, while it runs.
    #[must_use]
    pub const fn progress(&self) -> Option<&(String, f64)> {
        self.progress.as_ref()
    }

    fn queue(&self, queued: Queued) -> Result<Vec<JobEvent>, JobRefusal> {
        if self.status != JobStatus::Absent {
            return Err(JobRefusal::Exists);
        }
        validate(&queued.work)?;
        if let Some(placement) = &queued.placement {
            placement.validate()?;
        }
        Ok(vec![JobEvent::JobQueued(queued)])
    }

    fn claim(&self, claim: &Claim) -> Result<Vec<JobEvent>, JobRefusal> {
        if self.status == JobStatus::Queued {
            Ok(vec![JobEvent::JobClaimed(self.attempts.claim(claim)?)])
        } else {
            Err(self.not_allowed("claimed"))
        }
    }

    fn lose_lease(&self, loss: &Loss) -> Result<Vec<JobEvent>, JobRefusal> {
        let (expired, next) = self.attempts.after_loss(loss)?;
        let lease = expired.lease;
        let then = if self.cancel_requested {
            JobEvent::JobCancelled(Ended { lease, seq: 0 })
        } else {
            match next {
                Ok(retried) => JobEvent::JobRetried(retried),
                Err(poisoned) => JobEvent::JobFailed(poisoned),
            }
        };
        Ok(vec![JobEvent::JobLeaseExpired(expired), then])
    }

    fn request_cancel(&self) -> Result<Vec<JobEvent>, JobRefusal> {
        match self.status {
            JobStatus::Queued => Ok(vec![JobEvent::JobCancelled(Ended {
                lease: self.attempts.lease,
                seq: 0,
            })]),
            JobStatus::Running if self.cancel_requested => Ok(vec![]),
            JobStatus::Running => Ok(vec![JobEvent::CancelRequested {}]),
            JobStatus::Cancelled => Ok(vec![]),
            _ => Err(self.not_allowed("cancelled")),
        }
    }

    fn retry(&self) -> Result<Vec<JobEvent>, JobRefusal> {
        if self.status == JobStatus::Failed {
            Ok(vec![JobEvent::JobRetried(Retried {
                not_before: None,
                automatic: false,
            })])
        } else {
            Err(self.not_allowed("retried"))
        }
    }

    fn not_allowed(&self, wanted: &'static str) -> JobRefusal {
        match self.status {
            JobStatus::Absent => JobRefusal::Absent,
            status => JobRefusal::NotAllowed {
                status: status.as_str(),
                wanted,
            },
        }
    }
}

fn validate(work: &JobWork) -> Result<(), JobRefusal> {
    let bad = |name, must, given: String| Err(JobRefusal::Value { name, must, given });
    match work {
        JobWork::Extraction(extraction) => {
            if !(1..=10_000).contains(&extraction.top_k_examples) {
                return bad(
                    "topKExamples",
                    "1 to 10,000",
                    extraction.top_k_examples.to_string(),
                );
            }
            if extraction.context_tokens > 1_000 {
                return bad(
                    "contextTokens",
                    "at most 1,000",
                    extraction.context_tokens.to_string(),
                );
            }
            if !(0.0..=1.0).contains(&extraction.minimum_frequency) {
                return bad(
                    "minimumFrequency",
                    "0 to 1",
                    extraction.minimum_frequency.to_string(),
                );
            }
            if extraction.max_samples == Some(0) {
                return bad("maxSamples", "at least 1", "0".to_owned());
            }
            if extraction.latents <= 0
                || extraction.first_feature_id < 0
                || extraction.first_feature_id % FEATURES_PER_PARTITION != 0
            {
                return bad(
                    "firstFeatureId",
                    "the begin of a block",
                    extraction.first_feature_id.to_string(),
                );
            }
        }
        JobWork::Prediction(prediction) => {
            if !(1..=10_000).contains(&prediction.input.images.len()) {
                return bad(
                    "images",
                    "1 to 10,000 files or directories",
                    prediction.input.images.len().to_string(),
                );
            }
            let length = prediction.output_dir.chars().count();
            if !(1..=500).contains(&length) {
                return bad("outputDir", "1 to 500 characters", length.to_string());
            }
        }
        JobWork::Generation(generation) => {
            if generation.prompt.is_empty() || generation.prompt.len() > MAX_PROMPT_BYTES {
                return bad(
                    "prompt",
                    "1 to 65,536 bytes",
                    generation.prompt.len().to_string(),
                );
            }
            generation
                .sampling
                .validate()
                .map_err(|wrong| JobRefusal::Value {
                    name: wrong.name,
                    must: wrong.must,
                    given: wrong.given,
                })?;
            if let Some(intervention) = &generation.intervention {
                if intervention.features.is_empty() || intervention.features.len() > 1_000 {
                    return bad(
                        "features",
                        "1 to 1,000 features",
                        intervention.features.len().to_string(),
                    );
                }
                if let Some(wrong) = intervention
                    .features
                    .iter()
                    .find(|feature| !(-300.0..=300.0).contains(&feature.coefficient))
                {
                    return bad("coefficient", "-300 to 300", wrong.coefficient.to_string());
                }
            }
        }
    }
    Ok(())
}

impl Aggregate for Job {
    const CATEGORY: Category = Category::Job;
    type Command = JobCommand;
    type Event = JobEvent;
    type Refusal = JobRefusal;

    fn decide(&self, command: JobCommand) -> Result<Vec<JobEvent>, JobRefusal> {
        match command {
            JobCommand::Queue(queued) => self.queue(queued),
            JobCommand::Claim(claim) => self.claim(&claim),
            JobCommand::Report(report) => self.report(*report),
            JobCommand::LoseLease(loss) => self.lose_lease(&loss),
            JobCommand::RequestCancel => self.request_cancel(),
            JobCommand::Retry => self.retry(),
        }
    }

    fn evolve(&mut self, event: &JobEvent) -> Result<(), IllegalTransition> {
        use JobStatus::{Absent, Cancelled, Completed, Failed, Queued, Running};
        let holder = |lease: Lease| self.attempts.live && lease == self.attempts.lease;
        match (event, self.status) {
            (JobEvent::JobQueued(queued), Absent) => {
                self.work = Some(queued.work.clone());
                self.placement.clone_from(&queued.placement);
                self.status = Queued;
            }
            (JobEvent::JobClaimed(claimed), Queued)
                if claimed.lease == self.attempts.lease.next() =>
            {
                self.attempts.on_claimed(claimed);
                self.status = Running;
            }
            (JobEvent::JobProgressed(progressed), Running) if holder(progressed.lease) => {
                self.attempts.on_heard(progressed.seq);
                self.progress = Some((progressed.stage.clone(), progressed.percent));
            }
            (JobEvent::FeaturesExtracted(found), Running) if holder(found.lease) => {
                self.attempts.on_heard(found.seq);
                self.extracted = Some(found.clone());
            }
            (JobEvent::FeaturesLabelled(found), Running) if holder(found.lease) => {
                self.attempts.on_heard(found.seq);
            }
            (JobEvent::FeaturesScored(found), Running) if holder(found.lease) => {
                self.attempts.on_heard(found.seq);
            }
            (JobEvent::ActivationsAttached(found), Running) if holder(found.lease) => {
                self.attempts.on_heard(found.seq);
            }
            (JobEvent::TextGenerated(text), Running) if holder(text.lease) => {
                self.attempts.on_heard(text.seq);
                self.text = Some(text.clone());
            }
            (JobEvent::Predicted(predicted), Running) if holder(predicted.lease) => {
                self.attempts.on_heard(predicted.seq);
                self.predicted = Some(predicted.clone());
            }
            (JobEvent::JobCompleted(ended), Running) if holder(ended.lease) => {
                self.attempts.on_ended(ended.seq);
                self.attempts.crashes = 0;
                self.progress = None;
                self.status = Completed;
            }
            (JobEvent::CancelRequested {}, Running) => self.cancel_requested = true,
            (JobEvent::JobCancelled(ended), Queued | Running)
                if ended.lease == self.attempts.lease =>
            {
                self.attempts.on_ended(ended.seq);
                self.progress = None;
                self.status = Cancelled;
            }
            (JobEvent::JobFailed(failed), Queued | Running)
                if failed.lease == self.attempts.lease =>
            {
                if self.attempts.live {
                    self.attempts.on_broken();
                }
                self.attempts.on_ended(failed.seq);
                self.failure = Some(failed.clone());
                self.status = Failed;
            }
            (JobEvent::JobLeaseExpired(expired), Running) if holder(expired.lease) => {
                self.attempts.on_lost(expired.reason);
                self.progress = None;
                self.status = Queued;
            }
            (JobEvent::JobRetried(retried), Queued | Failed) => {
                self.attempts.on_retried(retried);
                self.failure = None;
                self.status = Queued;
            }
            (event, status) => {
                return Err(IllegalTransition {
                    category: Category::Job,
                    status: status.as_str(),
                    event: event.event_type(),
                });
            }
        }
        Ok(())
    }

    fn needs(&self, events: &[JobEvent]) -> Vec<StreamId> {
        let begins =
            |event: &JobEvent| matches!(event, JobEvent::JobQueued(_) | JobEvent::JobRetried(_));
        match &self.work {
            Some(work) if events.iter().any(begins) => work.needs(),
            _ => Vec::new(),
        }
    }
}

impl From<JobEvent> for Event {
    fn from(event: JobEvent) -> Self {
        Self::Job(event)
    }
}

impl TryFrom<Event> for JobEvent {
    type Error = WrongCategory;
    fn try_from(event: Event) -> Result<Self, WrongCategory> {
        match event {
            Event::Job(event) => Ok(event),
            other => Err(WrongCategory {
                event: other.event_type(),
                expected: Category::Job,
            }),
        }
    }
}
