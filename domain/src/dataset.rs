//! A dataset: downloading → ingesting → tokenizing → ready; any but ready → error; error → the stage that failed; ready →
//! tokenizing, for a further model.

mod event;
mod evolve;
mod report;

pub use event::{
    DatasetEvent, Downloaded, Ingested, Progressed, Registered, TokenizationRequested, Tokenized,
};

use crate::{
    Aggregate, Category, Event,
    attempt::{Attempts, Claim, LeaseRefusal, Loss, Report, Retried},
    envelope::{IllegalTransition, WrongCategory},
    hub::InvalidHubName,
    id::ModelId,
};
use serde::{Deserialize, Serialize};

/// Where a dataset comes from, as the document lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatasetSource {
    /// The Hugging Face hub.
    HuggingFace,
    /// Files of this machine.
    Local,
    /// Text that the user made: given in the request itself, or files that they call so.
    Custom,
}

impl DatasetSource {
    /// As the tables hold it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HuggingFace => "HuggingFace",
            Self::Local => "Local",
            Self::Custom => "Custom",
        }
    }
}

/// The status of a dataset, as the tables hold it, and `Absent` before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetStatus {
    /// Nothing has happened.
    #[default]
    Absent,
    /// Its files are on their way.
    Downloading,
    /// Its text is being read.
    Ingesting,
    /// It is being tokenised.
    Tokenizing,
    /// It can be worked with.
    Ready,
    /// It cannot.
    Error,
    /// It was there.
    Deleted,
}

impl DatasetStatus {
    /// As the tables hold it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Downloading => "downloading",
            Self::Ingesting => "ingesting",
            Self::Tokenizing => "tokenizing",
            Self::Ready => "ready",
            Self::Error => "error",
            Self::Deleted => "deleted",
        }
    }

    const fn is_running(self) -> bool {
        matches!(self, Self::Downloading | Self::Ingesting | Self::Tokenizing)
    }
}

/// What can be asked of a dataset.
#[derive(Clone, Debug, PartialEq)]
pub enum DatasetCommand {
    /// Work with files that are on this machine.
    RegisterLocal {
        /// What it is.
        registered: Registered,
        /// Where it is.
        files: Downloaded,
    },
    /// Fetch it from the hub, then work with it.
    RegisterHub(Registered),
    /// Tokenise it for this model, too.
    Tokenize(ModelId),
    /// Take it, to fetch, read and tokenise it.
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
pub enum DatasetRefusal {
    /// No such dataset.
    #[error("there is no such dataset")]
    Absent,
    /// The id is taken.
    #[error("there is a dataset of that id already")]
    Exists,
    /// The status does not allow it.
    #[error("a dataset that is {status} cannot be {wanted}")]
    NotAllowed {
        /// What it is.
        status: &'static str,
        /// What was wanted, as a participle.
        wanted: &'static str,
    },
    /// Text that a column cannot hold.
    #[error("the {field} of a dataset must be 1 to {most} characters")]
    Text {
        /// Which.
        field: &'static str,
        /// The most characters.
        most: usize,
    },
    /// A context length that no model has.
    #[error("the context length must be 2 to 1048576 tokens; it is {0}")]
    ContextLength(u32),
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

/// A dataset, as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    status: DatasetStatus,
    /// The status that an error interrupted.
    interrupted: DatasetStatus,
    registered: Option<Registered>,
    files: Option<Downloaded>,
    content_sha256: Option<String>,
    /// The model that it is being tokenised for, or was last.
    tokenizer: Option<ModelId>,
    tokenized: Vec<TokenizedFor>,
    attempts: Attempts,
}

/// Tokens for a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct TokenizedFor {
    model: ModelId,
    path: String,
}

impl Dataset {
    /// Its status.
    #[must_use]
    pub const fn status(&self) -> DatasetStatus {
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
    /// The hash of its text, once it has been read.
    #[must_use]
    pub fn content_sha256(&self) -> Option<&str> {
        self.content_sha256.as_deref()
    }
    /// The model that it is being tokenised for, or was last.
    #[must_use]
    pub const fn tokenizer(&self) -> Option<&ModelId> {
        self.tokenizer.as_ref()
    }
    /// Where the packed sequences are that were made last.
    #[must_use]
    pub fn latest_tokenized_path(&self) -> Option<&str> {
        self.tokenized.last().map(|latest| latest.path.as_str())
    }
    /// Where its packed sequences for a model are, once there are any. They stay when it is tokenised for another.
    #[must_use]
    pub fn tokenized_for(&self, model: &str) -> Option<&str> {
        let mut all = self.tokenized.iter();
        all.find(|tokenized| tokenized.model.as_str() == model)
            .map(|tokenized| tokenized.path.as_str())
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
    ) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        self.check(&registered)?;
        check_text("path", &files.file_path, 1000)?;
        Ok(vec![
            DatasetEvent::DatasetRegistered(registered),
            DatasetEvent::DatasetDownloaded(files),
        ])
    }

    fn register_hub(&self, registered: Registered) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        self.check(&registered)?;
        let Some(hub) = &registered.hub else {
            return Err(DatasetRefusal::Text {
                field: "repository",
                most: 200,
            });
        };
        hub.check()?;
        Ok(vec![DatasetEvent::DatasetRegistered(registered)])
    }

    fn check(&self, registered: &Registered) -> Result<(), DatasetRefusal> {
        if self.status != DatasetStatus::Absent {
            return Err(DatasetRefusal::Exists);
        }
        check_text("name", &registered.name, 500)?;
        check_text("text column", &registered.text_column, 255)?;
        if !(2..=1 << 20).contains(&registered.context_length) {
            return Err(DatasetRefusal::ContextLength(registered.context_length));
        }
        Ok(())
    }

    /// What it is tokenised for already stays as it is: trainings count on it. An error in tokenising for one model is no
    /// reason not to try another.
    fn tokenize(&self, model: ModelId) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        let may = self.status == DatasetStatus::Ready || self.is_in_error_of_tokenizing();
        if !may {
            return Err(self.not_allowed("tokenized again"));
        }
        if self.status == DatasetStatus::Ready && self.tokenized_for(model.as_str()).is_some() {
            return Ok(vec![]);
        }
        Ok(vec![DatasetEvent::DatasetTokenizationRequested(
            TokenizationRequested {
                tokenizer_model_id: model,
            },
        )])
    }

    fn is_in_error_of_tokenizing(&self) -> bool {
        self.status == DatasetStatus::Error && self.interrupted == DatasetStatus::Tokenizing
    }

    fn claim(&self, claim: &Claim) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        if self.waits() {
            Ok(vec![DatasetEvent::DatasetClaimed(
                self.attempts.claim(claim)?,
            )])
        } else {
            Err(self.not_allowed("claimed"))
        }
    }

    fn lose_lease(&self, loss: &Loss) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        let (expired, next) = self.attempts.after_loss(loss)?;
        Ok(vec![
            DatasetEvent::DatasetLeaseExpired(expired),
            match next {
                Ok(retried) => DatasetEvent::DatasetRetried(retried),
                Err(poisoned) => DatasetEvent::DatasetFailed(poisoned),
            },
        ])
    }

    fn retry(&self) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        if self.status == DatasetStatus::Error {
            Ok(vec![DatasetEvent::DatasetRetried(Retried {
                not_before: None,
                automatic: false,
            })])
        } else {
            Err(self.not_allowed("retried"))
        }
    }

    /// Not while a run works on it, which nobody can call back.
    fn delete(&self) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        match self.status {
            DatasetStatus::Absent | DatasetStatus::Deleted => Err(self.not_allowed("deleted")),
            _ if self.attempts.live => Err(self.not_allowed("deleted before its run has ended")),
            _ => Ok(vec![DatasetEvent::DatasetDeleted {}]),
        }
    }

    fn not_allowed(&self, wanted: &'static str) -> DatasetRefusal {
        match self.status {
            DatasetStatus::Absent => DatasetRefusal::Absent,
            status => DatasetRefusal::NotAllowed {
                status: status.as_str(),
                wanted,
            },
        }
    }
}

impl Aggregate for Dataset {
    const CATEGORY: Category = Category::Dataset;
    type Command = DatasetCommand;
    type Event = DatasetEvent;
    type Refusal = DatasetRefusal;

    fn decide(&self, command: DatasetCommand) -> Result<Vec<DatasetEvent>, DatasetRefusal> {
        match command {
            DatasetCommand::RegisterLocal { registered, files } => {
                self.register_local(registered, files)
            }
            DatasetCommand::RegisterHub(registered) => self.register_hub(registered),
            DatasetCommand::Tokenize(model) => self.tokenize(model),
            DatasetCommand::Claim(claim) => self.claim(&claim),
            DatasetCommand::Report(report) => self.report(*report),
            DatasetCommand::LoseLease(loss) => self.lose_lease(&loss),
            DatasetCommand::Retry => self.retry(),
            DatasetCommand::Delete => self.delete(),
        }
    }

    fn evolve(&mut self, event: &DatasetEvent) -> Result<(), IllegalTransition> {
        self.apply(event)
    }

    fn is_deleted(&self) -> bool {
        self.status == DatasetStatus::Deleted
    }
}

fn check_text(field: &'static str, text: &str, most: usize) -> Result<(), DatasetRefusal> {
    if text.trim().is_empty() || text.chars().count() > most {
        return Err(DatasetRefusal::Text { field, most });
    }
    Ok(())
}

impl From<DatasetEvent> for Event {
    fn from(event: DatasetEvent) -> Self {
        Self::Dataset(event)
    }
}

impl TryFrom<Event> for DatasetEvent {
    type Error = WrongCategory;
    fn try_from(event: Event) -> Result<Self, WrongCategory> {
        match event {
            Event::Dataset(event) => Ok(event),
            other => Err(WrongCategory {
                event: other.event_type(),
                expected: Category::Dataset,
            }),
        }
    }
}
