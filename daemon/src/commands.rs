//! The application layer: what a person or a program can ask for, checked across aggregates and against the machine, then
//! put to the one aggregate that decides. Knows nothing of HTTP.

mod add_dataset;
mod add_model;
mod caller;
mod change_job;
mod delete;
mod edit_feature;
mod error;
mod extract;
mod generate;
mod hub;
mod import_autoencoder;
mod kept;
mod placement;
mod predict;
mod queue_training;
mod resolve;
mod segment;
mod source;
mod state_change;
mod text;
mod tokenize_dataset;

pub use add_dataset::AddDataset;
pub use add_model::AddModel;
pub use caller::{Caller, IdempotencyKey, InvalidIdempotencyKey};
pub use edit_feature::EditFeature;
pub use error::{CommandError, Kind as ErrorKind};
pub use extract::Extract;
pub use generate::{FeatureChoice, GenerationRefusal, QueueGeneration};
pub use hub::{DataFromHub, FromHub};
pub use import_autoencoder::ImportAutoencoder;
pub use kept::{Addressed, CreateExtractionTemplate, CreatePreset, CreateTrainingTemplate};
pub use predict::Predict;
pub use queue_training::QueueTraining;
pub use resolve::ResolveError;
pub use segment::{CrossValidate, ImagesError, Segment};
pub use source::SourceError;
pub use tokenize_dataset::TokenizeDataset;

use crate::log::{ExecuteError, Executed, Log};
use sqlx::PgPool;
use std::path::PathBuf;
use trainmaster_domain::{Aggregate, Position, RecordedEvent, StreamId};

/// Takes commands.
#[derive(Clone)]
pub struct Commands {
    log: Log,
    /// For names, which only the read model knows.
    pool: PgPool,
    /// Where texts that come in requests are kept.
    datasets: Option<PathBuf>,
    /// Where predictions are written to, unless somebody says otherwise.
    predictions: Option<PathBuf>,
    /// The names of the clusters that runs can be placed on.
    clusters: Vec<String>,
}

/// A command was accepted, now or when it was first given.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// The dataset, model or training.
    pub id: String,
    /// Where the last event that it caused stands; none when it asked for what was so already.
    pub position: Option<Position>,
    /// The types of the events that it caused.
    pub events: Vec<&'static str>,
    /// Whether it was accepted before, under the same idempotency key.
    pub repeated: bool,
}

impl Commands {
    /// Commands to the streams of `log`; names are looked up in the read model of `pool`.
    #[must_use]
    pub const fn new(log: Log, pool: PgPool) -> Self {
        Self {
            log,
            pool,
            datasets: None,
            predictions: None,
            clusters: Vec::new(),
        }
    }

    /// Predictions are written to `<directory>/<job>` unless somebody says otherwise. Without, somebody has to.
    #[must_use]
    pub fn predicting_into(mut self, directory: Option<PathBuf>) -> Self {
        self.predictions = directory;
        self
    }

    /// Runs can be placed on the clusters of these names.
    #[must_use]
    pub fn placing_on(mut self, clusters: Vec<String>) -> Self {
        self.clusters = clusters;
        self
    }

    /// Texts that come in requests are kept in `<directory>/<dataset>/raw`. Without, such requests are refused.
    #[must_use]
    pub fn keeping_texts_in(mut self, directory: Option<PathBuf>) -> Self {
        self.datasets = directory;
        self
    }

    const fn log(&self) -> &Log {
        &self.log
    }

    const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Puts a command to an aggregate.
    async fn execute<A>(
        &self,
        id: &str,
        command: A::Command,
        caller: &Caller,
        route: &str,
        content: Option<&str>,
    ) -> Result<Accepted, CommandError>
    where
        A: Aggregate,
        A::Command: Clone,
        CommandError: From<A::Refusal>,
    {
        let metadata = caller.metadata(route, content);
        let Executed {
            events,
            position,
            repeated,
            ..
        } = self
            .log
            .execute::<A>(id, command, metadata)
            .await
            .map_err(|error| match error {
                ExecuteError::Refused(refusal) => CommandError::from(refusal),
                ExecuteError::Barred { barrier, .. } => barrier.into(),
                ExecuteError::Conflict { .. } => CommandError::Conflict { id: id.to_owned() },
                ExecuteError::Log(error) => CommandError::Log(error),
            })?;
        if repeated {
            caller.same_content(content, &events)?;
        }
        Ok(Accepted {
            id: id.to_owned(),
            position,
            events: types(&events),
            repeated,
        })
    }

    /// The first answer to a registration that repeats one: its stream, whose id follows from the idempotency key, has
    /// begun. What it named (a file, say) need not be there any more.
    async fn registered_before<A: Aggregate>(
        &self,
        id: &str,
        caller: &Caller,
        route: &str,
        content: &str,
    ) -> Result<Option<Accepted>, CommandError> {
        if caller.idempotency_key.is_none() {
            return Ok(None);
        }
        let command_id = caller.metadata(route, None).command_id;
        let mut events = self
            .log
            .read_stream(&StreamId::new(A::CATEGORY, id), 0, 16)
            .await?;
        events.retain(|recorded| recorded.metadata.command_id == command_id);
        if events.is_empty() {
            return Ok(None);
        }
        caller.same_content(Some(content), &events)?;
        Ok(Some(Accepted {
            id: id.to_owned(),
            position: events.last().map(|recorded| recorded.position),
            events: types(&events),
            repeated: true,
        }))
    }
}

fn types(events: &[RecordedEvent]) -> Vec<&'static str> {
    events
        .iter()
        .map(|recorded| recorded.event.event_type())
        .collect()
}
