//! What can be read: the rows of the read model `mistudio`, as its document names its columns, a page at a time.

mod begun;
mod checkpoints;
mod course;
mod cursor;
mod datasets;
mod evaluations;
mod extraction_templates;
mod features;
mod jobs;
mod listed;
mod metrics;
mod models;
mod pager;
mod presets;
mod report;
mod slurm_jobs;
mod training_templates;
mod trainings;

pub use begun::{Begun, First};
pub use checkpoints::Checkpoint;
pub use course::{Course, LatestStep};
pub use cursor::{Cursor, InvalidCursor};
pub use datasets::Dataset;
pub use evaluations::Evaluation;
pub use extraction_templates::ExtractionTemplate;
pub use features::{
    Example, Feature, FeatureCursor, FeatureDetail, FeatureFilter, FeatureOrder, FeatureSort,
    Hidden, MOST_EXAMPLES,
};
pub use jobs::{JobFilter, JobSummary, JobTimes};
pub use listed::Listed;
pub use metrics::{Metric, MetricsRange};
pub use models::{Conversion, Model, ModelDetail};
pub use pager::Pager;
pub use presets::Preset;
pub use report::{BestFeature, FrequencyBin, ReportExample};
pub use slurm_jobs::{SlurmJobSummary, SlurmTimes};
pub use training_templates::TrainingTemplate;
pub use trainings::{Latest, Training, TrainingDetail, TrainingFilter};

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use utoipa::ToSchema;

/// Reads.
#[derive(Clone)]
pub struct Queries {
    pool: PgPool,
}

/// A read that failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempt} could not be read")]
pub struct QueryError {
    /// What was to be read.
    pub attempt: String,
    /// What sqlx says.
    #[source]
    pub source: sqlx::Error,
}

/// A page of a list, the newest first. Where what is listed is read from the log, a page may be short, or even empty, and not be the last: `next`
/// says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Give it as `after` for the next page; null at the end.
    pub next: Option<String>,
}

/// The most rows of a page.
pub const MOST_ROWS: u32 = 500;

impl Queries {
    /// Reads through `pool`.
    #[must_use]
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

fn attempt(what: impl Into<String>) -> impl FnOnce(sqlx::Error) -> QueryError {
    let attempt = what.into();
    move |source| QueryError { attempt, source }
}

/// Splits off the row that was asked for beyond the page, which says whether there is another page.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = limit as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}
