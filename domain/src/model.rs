//! A language model: downloading → loading → (quantizing →) ready; any but ready → error; error → the stage that failed, by a
//! retry.

mod event;
mod evolve;
mod report;

pub use event::{Downloaded, Inspected, ModelEvent, Progressed, Quantized, Registered};

use crate::{
    Aggregate, Category, Event,
    attempt::{Attempts, Claim, LeaseRefusal, Loss, Report, Retried},
    envelope::{IllegalTransition, WrongCategory},
    hub::InvalidHubName,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// It was there.
    Deleted,
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
            Self::Deleted => "deleted",
        }
    }

    const fn is_running(self) -> bool {
        matches!(self, Self::Downloading | Self::Loading | Self::Quantizing)
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
    /// Fetch it from the hub, then work with it.
    RegisterHub(Registered),
    /// Take it, to fetch, look at or convert its files.
    Claim(Claim),
    /// Hear what its run says.
    Report(Box<Report>),
    /// Its run is gone.
    LoseLease(Loss),
    /// Try again after an error.
    Retry,
    /// Delete it. That nothing needs it is checked where the event is appended.
    Delete,
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
    /// A repository that the hub could not have.
    #[error(transparent)]
    Hub(#[from] InvalidHubName),
    /// About leases.
    #[error(transparent)]
    Lease(#[from] LeaseRefusal),
    /// The journal says what cannot be.
    #[error("the run's journal cannot be believed: {0}")]
    Unbelievable(String),
}

/// A model, as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    status: ModelStatus,
    /// The status that an error interrupted.
    interrupted: ModelStatus,
    registered: Option<Registered>,
    files: Option<Downloaded>,
    num_layers: u32,
    quantized: Option<Quantized>,
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
    /// Where it is, as it came: its tokenizer is there.
    #[must_use]
    pub const fn files(&self) -> Option<&Downloaded> {
        self.files.as_ref()
    }
    /// How many layers it has; 0 before it has been inspected.
    #[must_use]
    pub const fn num_layers(&self) -> u32 {
        self.num_layers
    }
    /// Its converted weights, where it has such.
    #[must_use]
    pub const fn quantized(&self) -> Option<&Quantized> {
        self.quantized.as_ref()
    }
    /// The weights that runs use: the converted ones, else those that came.
    #[must_use]
    pub fn weights_path(&self) -> Option<&str> {
        let quantized = self.quantized.as_ref().map(|q| q.quantized_path.as_str());
        quantized.or_else(|| self.files.as_ref().map(|files| files.file_path.as_str()))
    }
    /// Claims, leases, losses.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }
    /// Whether it waits for a worker.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.status.is_running() && !self.attempts.live
    }

    fn register_local(
        &self,
        registered: Registered,
        files: Downloaded,
    ) -> Result<Vec<ModelEvent>, ModelRefusal> {
        self.check(&registered)?;
        check_text("path", &files.file_path, 1000)?;
        Ok(vec![
            ModelEvent::ModelRegistered(registered),
            ModelEvent::ModelDownloaded(files),
        ])
    }

    fn register_hub(&self, registered: Registered) -> Result<Vec<ModelEvent>, ModelRefusal> {
        self.check(&registered)?;
        let Some(hub) = &registered.hub else {
            return Err(ModelRefusal::Text {
                field: "repository",
                most: 200,
            });
        };
        hub.check()?;
        Ok(vec![ModelEvent::ModelRegistered(registered)])
    }

    fn check(&self, registered: &Registered) -> Result<(), ModelRefusal> {
        if self.status != ModelStatus::Absent {
            return Err(ModelRefusal::Exists);
        }
        check_text("name", &registered.name, 500)?;
        if let Some(architecture) = &registered.architecture {
            check_text("architecture", architecture, 100)?;
        }
        Ok(())
    }

    fn claim(&self, claim: &Claim) -> Result<Vec<ModelEvent>, ModelRefusal> {
        if self.waits() {
            Ok(vec![ModelEvent::ModelClaimed(self.attempts.claim(claim)?)])
        } else {
            Err(self.not_allowed("claimed"))
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

    /// Not while a run works on it, which nobody can call back.
    fn delete(&self) -> Result<Vec<ModelEvent>, ModelRefusal> {
        match self.status {
            ModelStatus::Absent | ModelStatus::Deleted => Err(self.not_allowed("deleted")),
            _ if self.attempts.live => Err(self.not_allowed("deleted before its run has ended")),
            _ => Ok(vec![ModelEvent::ModelDeleted {}]),
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
            ModelCommand::RegisterHub(registered) => self.register_hub(registered),
            ModelCommand::Claim(claim) => self.claim(&claim),
            ModelCommand::Report(report) => self.report(*report),
            ModelCommand::LoseLease(loss) => self.lose_lease(&loss),
            ModelCommand::Retry => self.retry(),
            ModelCommand::Delete => self.delete(),
        }
    }

    fn evolve(&mut self, event: &ModelEvent) -> Result<(), IllegalTransition> {
        self.apply(event)
    }

    fn is_deleted(&self) -> bool {
        self.status == ModelStatus::Deleted
    }
}

fn check_text(field: &'static str, text: &str, most: usize) -> Result<(), ModelRefusal> {
    if text.trim().is_empty() || text.chars().count() > most {
        return Err(ModelRefusal::Text { field, most });
    }
    Ok(())
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
