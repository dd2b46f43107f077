//! A dataset: downloading → ingesting → tokenizing → ready; any but ready → error; error → the stage that failed.

mod event;
mod report;

pub use event::{DatasetEvent, Downloaded, Ingested, Progressed, Registered, Tokenized};

use crate::{
    Aggregate, Category, Event,
    attempt::{Attempts, Claim, LeaseRefusal, Loss, Report, Retried},
    envelope::{IllegalTransition, WrongCategory},
};
use serde::{Deserialize, Serialize};

/// Where a dataset comes from, as the document lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DatasetSource {
    /// The Hugging Face hub.
    HuggingFace,
    /// Files of this machine.
    Local,
    /// Made by a program.
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
        }
    }

    const fn is_running(self) -> bool {
        matches!(self, Self::Ingesting | Self::Tokenizing)
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
    /// Take it, to read and tokenise it.
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
    /// About leases.
    #[error(transparent)]
    Lease(#[from] LeaseRefusal),
    /// The journal says what cannot be.
    #[error("the run's journal cannot be believed: {0}")]
    Unbelievable(String),
}

/// A dataset, as its events tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    status: DatasetStatus,
    /// The status that an error interrupted.
    interrupted: DatasetStatus,
    registered: Option<Registered>,
    files: Option<Downloaded>,
    tokenized_path: Option<String>,
    attempts: Attempts,
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
    /// Where its packed sequences are, once it is ready.
    #[must_use]
    pub fn tokenized_path(&self) -> Option<&str> {
        self.tokenized_path.as_deref()
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
        if self.status != DatasetStatus::Absent {
            return Err(DatasetRefusal::Exists);
        }
        let texts = [
            ("name", registered.name.as_str(), 500),
            ("text column", registered.text_column.as_str(), 255),
            ("path", files.file_path.as_str(), 1000),
        ];
        for (field, text, most) in texts {
            if text.trim().is_empty() || text.chars().count() > most {
                return Err(DatasetRefusal::Text { field, most });
            }
        }
        if !(2..=1 << 20).contains(&registered.context_length) {
            return Err(DatasetRefusal::ContextLength(registered.context_length));
        }
        Ok(vec![
            DatasetEvent::DatasetRegistered(registered),
            DatasetEvent::DatasetDownloaded(files),
        ])
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
            DatasetCommand::Claim(claim) => self.claim(&claim),
            DatasetCommand::Report(report) => self.report(*report),
            DatasetCommand::LoseLease(loss) => self.lose_lease(&loss),
            DatasetCommand::Retry => self.retry(),
        }
    }

    fn evolve(&mut self, event: &DatasetEvent) -> Result<(), IllegalTransition> {
        use DatasetStatus::{Absent, Downloading, Error, Ingesting, Ready, Tokenizing};
        let holder = |lease| self.attempts.live && lease == self.attempts.lease;
        match (event, self.status) {
            (DatasetEvent::DatasetRegistered(registered), Absent) => {
                self.registered = Some(registered.clone());
                self.status = Downloading;
            }
            (DatasetEvent::DatasetDownloaded(files), Downloading) => {
                self.files = Some(files.clone());
                self.status = Ingesting;
            }
            (DatasetEvent::DatasetClaimed(claimed), Ingesting | Tokenizing)
                if !self.attempts.live && claimed.lease == self.attempts.lease.next() =>
            {
                self.attempts.on_claimed(claimed);
            }
            (DatasetEvent::DatasetProgressed(progressed), Ingesting | Tokenizing)
                if holder(progressed.lease) =>
            {
                self.attempts.on_heard(progressed.seq);
            }
            (DatasetEvent::DatasetIngested(ingested), Ingesting) if holder(ingested.lease) => {
                self.attempts.on_heard(ingested.seq);
                self.status = Tokenizing;
            }
            (DatasetEvent::DatasetTokenized(tokenized), Tokenizing) if holder(tokenized.lease) => {
                self.attempts.on_ended(tokenized.seq);
                self.attempts.crashes = 0;
                self.tokenized_path = Some(tokenized.tokenized_path.clone());
                self.status = Ready;
            }
            (DatasetEvent::DatasetFailed(failed), Ingesting | Tokenizing | Error)
                if failed.lease == self.attempts.lease =>
            {
                if self.status != Error {
                    self.interrupted = self.status;
                    self.attempts.on_lost();
                }
                self.attempts.on_ended(failed.seq);
                self.status = Error;
            }
            (DatasetEvent::DatasetLeaseExpired(expired), Ingesting | Tokenizing)
                if holder(expired.lease) =>
            {
                self.attempts.on_lost();
                self.interrupted = self.status;
                self.status = Error;
            }
            (DatasetEvent::DatasetRetried(retried), Error) => {
                self.attempts.on_retried(retried);
                self.status = self.interrupted;
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
