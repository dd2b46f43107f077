//! The past, as the log tells it: what something was at a point, and what changed between two.
//!
//! A state is folded from the events up to the point by the same `evolve` that commands are decided by, so it is what the daemon knew
//! then, whatever the read models say now.

mod described;
mod diff;
mod point;

pub use diff::{Changed, Difference, FieldChange};
pub use point::{InvalidPoint, Point};

use crate::log::{Log, LogError};
use chrono::{DateTime, Utc};
use described::Described;
use serde::Serialize;
use serde_json::Value;
use trainmaster_domain::{
    Category, Position, StreamId, cross_validation::CrossValidation, dataset::Dataset,
    extraction_template::KeptExtractionTemplate, feature::Feature, job::Job, model::Model,
    preset::KeptPreset, slurm::SlurmJob, training::Training,
    training_template::KeptTrainingTemplate,
};
use utoipa::ToSchema;

/// Events of a stream that are read at once.
const PAGE: usize = 1000;

/// Something as it was.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Then {
    /// `dataset`, `model`, `training`, `job`, `feature`, `training_template`, `extraction_template`, `preset`, `slurm_job` or
    /// `cross_validation`.
    pub category: &'static str,
    /// Its id.
    pub id: String,
    /// The version of the last event that had happened to it.
    pub version: u64,
    /// Where in the log that event is.
    #[schema(value_type = String, example = "812-33")]
    pub position: Position,
    /// When it happened.
    pub recorded_at: DateTime<Utc>,
    /// What it was then.
    pub status: &'static str,
    /// The rest of what was known of it.
    #[schema(value_type = Object)]
    pub state: Value,
}

/// Why the past cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Nothing ever happened to it.
    #[error("there is no {0}, and never was")]
    Unknown(StreamId),
    /// It is younger.
    #[error("{stream} did not exist then: it begins at {position}, {at}")]
    NotYet {
        /// What.
        stream: StreamId,
        /// Its first event.
        position: Position,
        /// When that was.
        at: DateTime<Utc>,
    },
    /// The range is empty.
    #[error("the second point ({to}) lies before the first ({from})")]
    Backwards {
        /// The first.
        from: Position,
        /// The second.
        to: Position,
    },
    /// Too much changed.
    #[error("more than {0} things changed between the two points: ask for a shorter time")]
    TooMuch(usize),
    /// The log does not work.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// What a stream was at two points.
#[derive(Debug, Default)]
struct Folded {
    first: Option<(Position, DateTime<Utc>)>,
    before: Option<Then>,
    after: Option<Then>,
}

/// The past of a log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History {
    log: Log,
}

impl History {
    /// Of this log.
    #[must_use]
    pub const fn new(log: Log) -> Self {
        Self { log }
    }

    /// Something as it was at a point. Reads its events, [`PAGE`] at a time.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn at(&self, stream: &StreamId, point: Point) -> Result<Then, HistoryError> {
        let at = self.position(point).await?;
        let folded = self.fold(stream, Position::START, at).await?;
        match (folded.after, folded.first) {
            (Some(then), _) => Ok(then),
            (None, None) => Err(HistoryError::Unknown(stream.clone())),
            (None, Some((position, at))) => Err(HistoryError::NotYet {
                stream: stream.clone(),
                position,
                at,
            }),
        }
    }

    async fn fold(
        &self,
        stream: &StreamId,
        before: Position,
        after: Position,
    ) -> Result<Folded, LogError> {
        match stream.category {
            Category::Dataset => self.fold_as::<Dataset>(stream, before, after).await,
            Category::Model => self.fold_as::<Model>(stream, before, after).await,
            Category::Training => self.fold_as::<Training>(stream, before, after).await,
            Category::Job => self.fold_as::<Job>(stream, before, after).await,
            Category::Feature => self.fold_as::<Feature>(stream, before, after).await,
            Category::TrainingTemplate => {
                self.fold_as::<KeptTrainingTemplate>(stream, before, after)
                    .await
            }
            Category::ExtractionTemplate => {
                self.fold_as::<KeptExtractionTemplate>(stream, before, after)
                    .await
            }
            Category::Preset => self.fold_as::<KeptPreset>(stream, before, after).await,
            Category::SlurmJob => self.fold_as::<SlurmJob>(stream, before, after).await,
            Category::CrossValidation => {
                self.fold_as::<CrossValidation>(stream, before, after).await
            }
        }
    }

    async fn fold_as<A: Described>(
        &self,
        stream: &StreamId,
        before: Position,
        after: Position,
    ) -> Result<Folded, LogError> {
        let mut folded = Folded::default();
        let mut state = A::default();
        let mut last: Option<(u64, Position, DateTime<Utc>)> = None;
        let then = |state: &A, last: Option<(u64, Position, DateTime<Utc>)>| {
            last.map(|(version, position, recorded_at)| Then {
                category: A::CATEGORY.as_str(),
                id: stream.id.clone(),
                version,
                position,
                recorded_at,
                status: state.status(),
                state: state.described(),
            })
        };
        let mut is_before = true;
        'pages: loop {
            let version = last.map_or(0, |(version, ..)| version);
            let page = self.log.read_stream(stream, version, PAGE).await?;
            let is_last = page.len() < PAGE;
            for recorded in page {
                let (position, version) = (recorded.position, recorded.version);
                folded.first.get_or_insert((position, recorded.recorded_at));
                if is_before && position > before {
                    folded.before = then(&state, last);
                    is_before = false;
                }
                if position > after {
                    break 'pages;
                }
                let event = A::Event::try_from(recorded.event).map_err(|_| LogError::Foreign {
                    stream: stream.clone(),
                    version,
                })?;
                state.evolve(&event).map_err(|source| LogError::Illegal {
                    stream: stream.clone(),
                    version,
                    source,
                })?;
                last = Some((version, position, recorded.recorded_at));
            }
            if is_last {
                break;
            }
        }
        if is_before {
            folded.before = then(&state, last);
        }
        folded.after = then(&state, last);
        Ok(folded)
    }
}
