//! What surrounds an event: where it stands in the log, which stream it belongs to, who caused it; and how it is stored.

use crate::{
    Task, cross_validation::CrossValidationEvent, dataset::DatasetEvent,
    extraction_template::ExtractionTemplateEvent, feature::FeatureEvent, job::JobEvent,
    model::ModelEvent, preset::PresetEvent, slurm::SlurmJobEvent, training::TrainingEvent,
    training_template::TrainingTemplateEvent, upcast,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A state machine that is a function of its stream: `decide` says which events a command causes, `evolve` applies one.
///
/// It can be written down, so that a long stream need not be read from its beginning; see [`FINGERPRINT`] for who may read it.
pub trait Aggregate: Clone + Default + Serialize + DeserializeOwned + Send + 'static {
    /// Which streams hold it.
    const CATEGORY: Category;
    /// What can be asked of it.
    type Command;
    /// What can have happened to it.
    type Event: Clone + Into<Event> + TryFrom<Event, Error = WrongCategory>;
    /// Why a command is refused. A refusal changes nothing.
    type Refusal: std::error::Error;

    /// The events that `command` causes now; none when it asks for what is so already.
    ///
    /// # Errors
    /// The refusal, when the state does not allow the command.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Refusal>;

    /// Applies an event that happened.
    ///
    /// # Errors
    /// [`IllegalTransition`] when the event cannot follow what happened before: the log is damaged, or the program is older
    /// than the log.
    fn evolve(&mut self, event: &Self::Event) -> Result<(), IllegalTransition>;

    /// Whether it was there and is not any more. Nothing can follow, and its id is not used again.
    fn is_deleted(&self) -> bool {
        false
    }

    /// What must not be deleted before `events`, of which this is the state after them, are in the log: what they refer to.
    fn needs(&self, events: &[Self::Event]) -> Vec<StreamId> {
        let _ = events;
        Vec::new()
    }
}

/// What the code of the domain is. An aggregate's state that was written down is a function of events and of this code, and has no
/// schema: other code does not read it.
pub const FINGERPRINT: &str = env!("TRAINMASTER_DOMAIN_FINGERPRINT");

/// An event that cannot follow the events before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} cannot happen to a {category} that is {status}")]
pub struct IllegalTransition {
    /// What kind of stream.
    pub category: Category,
    /// Its status before the event.
    pub status: &'static str,
    /// The event's type.
    pub event: &'static str,
}

/// An event of another category than the stream that it was found in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not an event of a {expected}")]
pub struct WrongCategory {
    /// The event's type.
    pub event: &'static str,
    /// The category of the stream.
    pub expected: Category,
}

/// The kinds of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// A dataset.
    Dataset,
    /// A language model.
    Model,
    /// A training.
    Training,
    /// A job: an extraction or a generation.
    Job,
    /// What people say of a feature.
    Feature,
    /// A way to train.
    TrainingTemplate,
    /// A way to extract features.
    ExtractionTemplate,
    /// A way to steer.
    Preset,
    /// What SLURM makes of an attempt at a run.
    SlurmJob,
    /// A cross-validation.
    CrossValidation,
}

impl Category {
    /// All there are.
    pub const ALL: [Self; 10] = [
        Self::Dataset,
        Self::Model,
        Self::Training,
        Self::Job,
        Self::Feature,
        Self::TrainingTemplate,
        Self::ExtractionTemplate,
        Self::Preset,
        Self::SlurmJob,
        Self::CrossValidation,
    ];

    /// As the log stores it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "dataset",
            Self::Model => "model",
            Self::Training => "training",
            Self::Job => "job",
            Self::Feature => "feature",
            Self::TrainingTemplate => "training_template",
            Self::ExtractionTemplate => "extraction_template",
            Self::Preset => "preset",
            Self::SlurmJob => "slurm_job",
            Self::CrossValidation => "cross_validation",
        }
    }
}

impl std::fmt::Display for Category {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A category that this program does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a category of streams that this version knows")]
pub struct UnknownCategory(pub String);

impl std::str::FromStr for Category {
    type Err = UnknownCategory;
    fn from_str(text: &str) -> Result<Self, UnknownCategory> {
        Self::ALL
            .into_iter()
            .find(|category| category.as_str() == text)
            .ok_or_else(|| UnknownCategory(text.to_owned()))
    }
}

/// A stream: the history of one dataset, model, training, job, feature, template or preset.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StreamId {
    /// Its kind.
    pub category: Category,
    /// The id of what it is the history of.
    pub id: String,
}

impl StreamId {
    /// The stream of `id`.
    #[must_use]
    pub fn new(category: Category, id: impl Into<String>) -> Self {
        Self {
            category,
            id: id.into(),
        }
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.category, self.id)
    }
}

/// Where an event stands in the order in which every reader sees the log: by the transaction that appended it, then by its
/// sequence number. A sequence number alone would not do: a transaction may commit after one that drew a later number.
/// As text: `<transaction>-<sequence>`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    /// Postgres' 64-bit transaction id (`xid8`).
    pub transaction: u64,
    /// The event's sequence number, unique in the log.
    pub sequence: i64,
}

impl Position {
    /// Before every event.
    pub const START: Self = Self {
        transaction: 0,
        sequence: 0,
    };
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.transaction, self.sequence)
    }
}

/// Text that is not a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position: it must be <transaction>-<sequence>, as an event shows it")]
pub struct InvalidPosition(pub String);

impl std::str::FromStr for Position {
    type Err = InvalidPosition;
    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        text.split_once('-')
            .and_then(|(transaction, sequence)| {
                let sequence: i64 = sequence.parse().ok().filter(|n| *n >= 0)?;
                Some(Self {
                    transaction: transaction.parse().ok()?,
                    sequence,
                })
            })
            .ok_or_else(|| InvalidPosition(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for Position {
    type Error = InvalidPosition;
    fn try_from(text: String) -> Result<Self, InvalidPosition> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

/// Who caused an event, and what it belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The command, accepted once; a client chooses it (`Idempotency-Key`), or the daemon.
    pub command_id: String,
    /// Everything that one request set in motion shares this.
    pub correlation_id: String,
    /// What directly caused the command: an event's position, or a journal record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// `cli`, `http`, `dispatcher`, `trainer`, `reconciler`, …
    pub actor: String,
    /// W3C trace context of the span that appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// An event as the log holds it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordedEvent {
    /// Where in the log.
    pub position: Position,
    /// Which stream.
    pub stream: StreamId,
    /// 1, 2, 3… within the stream.
    pub version: u64,
    /// What happened.
    pub event: Event,
    /// Who caused it.
    pub metadata: Metadata,
    /// When, by the database's clock.
    pub recorded_at: DateTime<Utc>,
}

/// Whatever can have happened. As JSON: `{"type": …, "payload": …}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// To a dataset.
    Dataset(DatasetEvent),
    /// To a model.
    Model(ModelEvent),
    /// To a training.
    Training(TrainingEvent),
    /// To a job.
    Job(JobEvent),
    /// To a feature.
    Feature(FeatureEvent),
    /// To a training template.
    TrainingTemplate(TrainingTemplateEvent),
    /// To an extraction template.
    ExtractionTemplate(ExtractionTemplateEvent),
    /// To a preset.
    Preset(PresetEvent),
    /// Of a SLURM job.
    SlurmJob(SlurmJobEvent),
    /// Of a cross-validation.
    CrossValidation(CrossValidationEvent),
}

/// A stored event that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer program.
    #[error(
        "event {event_type} has schema version {found}, but this version of trainmaster knows up to {known}: install a newer one"
    )]
    Newer {
        /// Its type.
        event_type: String,
        /// Its schema version.
        found: u16,
        /// The newest known.
        known: u16,
    },
    /// An unknown type, or a payload that does not fit its type.
    #[error("event {event_type} (schema version {schema_version}) of a {category} cannot be read")]
    Malformed {
        /// The stream's category.
        category: Category,
        /// Its type.
        event_type: String,
        /// Its schema version.
        schema_version: u16,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
}

impl Event {
    /// The event's type, as the log's `type` column holds it.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Dataset(event) => event.event_type(),
            Self::Model(event) => event.event_type(),
            Self::Training(event) => event.event_type(),
            Self::Job(event) => event.event_type(),
            Self::Feature(event) => event.event_type(),
            Self::TrainingTemplate(event) => event.event_type(),
            Self::ExtractionTemplate(event) => event.event_type(),
            Self::Preset(event) => event.event_type(),
            Self::SlurmJob(event) => event.event_type(),
            Self::CrossValidation(event) => event.event_type(),
        }
    }

    /// The version of the payload's schema that this program writes.
    #[must_use]
    pub fn schema_version(&self) -> u16 {
        upcast::newest(self.event_type())
    }

    /// The payload as JSON.
    ///
    /// # Errors
    /// What serde says; our own events always can be.
    pub fn payload(&self) -> Result<serde_json::Value, serde_json::Error> {
        let mut tagged = serde_json::to_value(self)?;
        Ok(tagged
            .get_mut("payload")
            .map(serde_json::Value::take)
            .unwrap_or_else(|| serde_json::json!({})))
    }

    /// An event from what the log stores; older schema versions are upcast.
    ///
    /// # Errors
    /// [`DecodeError`] when the event is newer than this program, unknown or malformed.
    pub fn from_stored(
        category: Category,
        event_type: &str,
        found: u16,
        payload: serde_json::Value,
    ) -> Result<Self, DecodeError> {
        let known = upcast::newest(event_type);
        if found > known {
            return Err(DecodeError::Newer {
                event_type: event_type.to_owned(),
                found,
                known,
            });
        }
        let tagged = serde_json::json!({ "type": event_type, "payload": upcast::upcast(event_type, found, payload) });
        match category {
            Category::Dataset => read(tagged).map(Self::Dataset),
            Category::Model => read(tagged).map(Self::Model),
            Category::Training => read(tagged).map(Self::Training),
            Category::Job => read(tagged).map(Self::Job),
            Category::Feature => read(tagged).map(Self::Feature),
            Category::TrainingTemplate => read(tagged).map(Self::TrainingTemplate),
            Category::ExtractionTemplate => read(tagged).map(Self::ExtractionTemplate),
            Category::Preset => read(tagged).map(Self::Preset),
            Category::SlurmJob => read(tagged).map(Self::SlurmJob),
            Category::CrossValidation => read(tagged).map(Self::CrossValidation),
        }
        .map_err(|source| DecodeError::Malformed {
            category,
            event_type: event_type.to_owned(),
            schema_version: found,
            source,
        })
    }

    /// Whether it says that something is gone which others may refer to.
    #[must_use]
    pub const fn deletes(&self) -> bool {
        matches!(
            self,
            Self::Dataset(DatasetEvent::DatasetDeleted {})
                | Self::Model(ModelEvent::ModelDeleted {})
                | Self::Training(TrainingEvent::TrainingDeleted {})
        )
    }

    /// Whether files that were made for it are of no use after it.
    #[must_use]
    pub const fn leaves_files(&self) -> bool {
        self.deletes() || matches!(self, Self::Training(TrainingEvent::CheckpointPruned(_)))
    }

    /// What this event sets in motion beyond the log.
    #[must_use]
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::Dataset(event) => event.task(),
            Self::Model(event) => event.task(),
            Self::Training(event) => event.task(),
            Self::Job(event) => event.task(),
            Self::Feature(event) => event.task(),
            Self::TrainingTemplate(event) => event.task(),
            Self::ExtractionTemplate(event) => event.task(),
            Self::Preset(event) => event.task(),
            Self::SlurmJob(event) => event.task(),
            Self::CrossValidation(event) => event.task(),
        }
    }
}

fn read<T: DeserializeOwned>(tagged: serde_json::Value) -> Result<T, serde_json::Error> {
    serde_json::from_value(tagged)
}
