//! A language model: downloading → loading → ready; any but ready → error; error → downloading, by a retry.

mod event;

pub use event::{Downloaded, Inspected, ModelEvent, Registered};

use crate::{
    Aggregate, Category, Event,
    attempt::{AfterFailure, Attempts, Claim, LeaseRefusal, Loss, Report, Retried},
    envelope::{IllegalTransition, WrongCategory},
    run::journal::Record,
};
use serde::{Deserialize, Serialize};

/// How a model's weights are held, as the document lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Quantization {
    /// IEEE single.
    Fp32,
    /// IEEE half or bfloat16.
    Fp16,
    /// 8-bit integers.
    Int8,
    /// 8-bit blocks (GGUF Q8_0).
    Q8,
    /// 4-bit blocks (GGUF Q4_0, Q4_1, Q4_K).
    Q4,
}

impl Quantization {
    /// As the tables hold it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fp32 => "FP32",
            Self::Fp16 => "FP16",
            Self::Int8 => "INT8",
            Self::Q8 => "Q8",
            Self::Q4 => "Q4",
        }
    }
}

/// The status of a model, as the tables hold it, and `Absent` before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelStatus {
    /// Nothing has happened.
    #[default]
    Absent,
    /// Its files are on their way.
    Downloading,
    /// Its files are being read.
    Loading,
    /// Its weights are being converted.
    Quantizing,
    /// It can be worked with.
    Ready,
    /// It cannot.
    Error,
}

impl ModelStatus {
    /// As the tables hold it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Downloading => "downloading",
            Self::Loading => "loading",
            Self::Quantizing => "quantizing",
            Self::Ready => "ready",
            Self::Error => "error",
        }
    }
}

/// What can be asked of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelCommand {
    /// Work with files that are on this machine.
    RegisterLocal {
        /// What it is.
        registered: Registered,
        /// Where it is.
        files: Downloaded,
    },
    /// Take it, to look at its files.
    Claim(Claim),
    /// Hear what its run says.
    Report(Box<Report>),
    /// Its run is gone.
    LoseLease(Loss),
    /// Try again after an error.
    Retry,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelRefusal {
    /// No such model.
    #[error("there is no such model")]
    Absent,
    /// The id is taken.
    #[error("there is a model of that id already")]
    Exists,
    /// The status does not allow it.
    #[error("a model that is {status} cannot be {wanted}")]
    NotAllowed {
        /// What it is.
        status: &'static str,
        /// What was wanted, as a participle.
        wanted: &'static str,
    },
    /// Text that a column cannot hold.
    #[error("the {field} of a model must be 1 to {most} characters")]
    Text {
        /// Which.
        field: &'static str,
        /// The most characters.
        most: usize,
    },
    /// About leases.
    #[error(transparent)]
    Lease(#[from] LeaseRefusal),
    /// The journal says what cannot be.
    #[error("the run's journal cannot be believed: {0}")]
    Unbelievable(String),
}

/// A model, as its events tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    status: ModelStatus,
    registered: Option<Registered>,
    files: Option<Downloaded>,
    num_layers: u32,
    attempts: Attempts,
}

impl Model {
    /// Its status.
    #[must_use]
    pub const fn status(&self) -> ModelStatus {
        self.status
    }
    /// What it is.
    #[must_use]
    pub const fn registered(&self) -> Option<&Registered> {
        self.registered.as_ref()
    }
    /// Where it is.
    #[must_use]
    pub const fn files(&self) -> Option<&Downloaded> {
        self.files.as_ref()
    }
    /// How many layers it has; 0 before it has been inspected.
    #[must_use]
    pub const fn num_layers(&self) -> u32 {
        self.num_layers
    }
    /// Claims, leases, losses.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }
    /// Whether it waits for a worker.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.status == ModelStatus::Loading && !self.attempts.live
    }

    fn register_local(
        &self,
        registered: Registered,
        files: Downloaded,
    ) -> Result<Vec<ModelEvent>, ModelRefusal> {
        if self.status != ModelStatus::Absent {
            return Err(ModelRefusal::Exists);
        }
        let texts = [
            ("name", registered.name.as_str(), 500),
            ("architecture", registered.architecture.as_str(), 100),
            ("path", files.file_path.as_str(), 1000),
        ];
        for (field, text, most) in texts {
            if text.trim().is_empty() || text.chars().count() > most {
                return Err(ModelRefusal::Text { field, most });
            }
        }
        Ok(vec![
            ModelEvent::ModelRegistered(registered),
            ModelEvent::ModelDownloaded(files),
        ])
    }

    fn claim(&self, claim: &Claim) -> Result<Vec<ModelEvent>, ModelRefusal> {
        if self.waits() {
            Ok(vec![ModelEvent::ModelClaimed(self.attempts.claim(claim)?)])
        } else {
            Err(self.not_allowed("claimed"))
        }
    }

    fn report(&self, report: Report) -> Result<Vec<ModelEvent>, ModelRefusal> {
        if self.attempts.has_heard(&report.line) {
            return Ok(vec![]);
        }
        let (lease, seq) = (report.line.lease, report.line.seq);
        self.attempts.fence(lease)?;
        match report.line.record {
            Record::Started(_) | Record::Progress(_) => Ok(vec![]),
            Record::ModelInspected(found) => Ok(vec![ModelEvent::ModelInspected(Inspected {
                lease,
                seq,
                params_count: found.params_count,
                memory_required_bytes: found.memory_required_bytes,
                disk_size_bytes: found.disk_size_bytes,
                architecture_config: found.architecture_config,
            })]),
            Record::Failed(failure) => {
                let after =
                    self.attempts
                        .after_failure((lease, seq), failure, report.now, report.policy);
                Ok(match after {
                    AfterFailure::Final(failed) | AfterFailure::GivenUp(failed) => {
                        vec![ModelEvent::ModelFailed(failed)]
                    }
                    AfterFailure::Again(failed, retried) => {
                        vec![
                            ModelEvent::ModelFailed(failed),
                            ModelEvent::ModelRetried(retried),
                        ]
                    }
                })
            }
            _ => Err(ModelRefusal::Unbelievable(
                "it speaks of other work than looking at a model".to_owned(),
            )),
        }
    }

    fn lose_lease(&self, loss: &Loss) -> Result<Vec<ModelEvent>, ModelRefusal> {
        let (expired, next) = self.attempts.after_loss(loss)?;
        Ok(vec![
            ModelEvent::ModelLeaseExpired(expired),
            match next {
                Ok(retried) => ModelEvent::ModelRetried(retried),
                Err(poisoned) => ModelEvent::ModelFailed(poisoned),
            },
        ])
    }

    fn retry(&self) -> Result<Vec<ModelEvent>, ModelRefusal> {
        if self.status == ModelStatus::Error {
            Ok(vec![ModelEvent::ModelRetried(Retried {
                not_before: None,
                automatic: false,
            })])
        } else {
            Err(self.not_allowed("retried"))
        }
    }

    fn not_allowed(&self, wanted: &'static str) -> ModelRefusal {
        match self.status {
            ModelStatus::Absent => ModelRefusal::Absent,
            status => ModelRefusal::NotAllowed {
                status: status.as_str(),
                wanted,
            },
        }
    }
}

impl Aggregate for Model {
    const CATEGORY: Category = Category::Model;
    type Command = ModelCommand;
    type Event = ModelEvent;
    type Refusal = ModelRefusal;

    fn decide(&self, command: ModelCommand) -> Result<Vec<ModelEvent>, ModelRefusal> {
        match command {
            ModelCommand::RegisterLocal { registered, files } => {
                self.register_local(registered, files)
            }
            ModelCommand::Claim(claim) => self.claim(&claim),
            ModelCommand::Report(report) => self.report(*report),
            ModelCommand::LoseLease(loss) => self.lose_lease(&loss),
            ModelCommand::Retry => self.retry(),
        }
    }

    fn evolve(&mut self, event: &ModelEvent) -> Result<(), IllegalTransition> {
        use ModelStatus::{Absent, Downloading, Error, Loading, Ready};
        let current = |lease| lease == self.attempts.lease;
        match (event, self.status) {
            (ModelEvent::ModelRegistered(registered), Absent) => {
                self.registered = Some(registered.clone());
                self.status = Downloading;
            }
            (ModelEvent::ModelDownloaded(files), Downloading) => {
                self.files = Some(files.clone());
                self.status = Loading;
            }
            (ModelEvent::ModelClaimed(claimed), Loading)
                if !self.attempts.live && claimed.lease == self.attempts.lease.next() =>
            {
                self.attempts.on_claimed(claimed);
            }
            (ModelEvent::ModelInspected(inspected), Loading)
                if self.attempts.live && current(inspected.lease) =>
            {
                self.attempts.on_ended(inspected.seq);
                self.attempts.crashes = 0;
                let layers = &inspected.architecture_config["num_layers"];
                self.num_layers = layers
                    .as_u64()
                    .and_then(|layers| u32::try_from(layers).ok())
                    .unwrap_or(0);
                self.status = Ready;
            }
            (ModelEvent::ModelFailed(failed), Loading | Error) if current(failed.lease) => {
                if self.status == Loading {
                    self.attempts.on_lost();
                }
                self.attempts.on_ended(failed.seq);
                self.status = Error;
            }
            (ModelEvent::ModelLeaseExpired(expired), Loading)
                if self.attempts.live && current(expired.lease) =>
            {
                self.attempts.on_lost();
                self.status = Error;
            }
            (ModelEvent::ModelRetried(retried), Error) => {
                self.attempts.on_retried(retried);
                // Local files have not gone anywhere: what failed is reading them.
                self.status = if self.files.is_some() {
                    Loading
                } else {
                    Downloading
                };
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

impl From<ModelEvent> for Event {
    fn from(event: ModelEvent) -> Self {
        Self::Model(event)
    }
}

impl TryFrom<Event> for ModelEvent {
    type Error = WrongCategory;
    fn try_from(event: Event) -> Result<Self, WrongCategory> {
        match event {
            Event::Model(event) => Ok(event),
            other => Err(WrongCategory {
                event: other.event_type(),
                expected: Category::Model,
            }),
        }
    }
}
