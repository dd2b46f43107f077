//! A training on one page: a self-contained HTML document that needs neither scripts nor a network.
//!
//! [`gather`] reads what the page says, within bounds (1,000 recorded steps, 24 features of 5 examples), [`page`] writes it.

mod charts;
mod features;
mod html;
mod page;
mod tables;

pub use page::page;

use crate::queries::{
    BestFeature, FrequencyBin, Metric, MetricsRange, Queries, QueryError, TrainingDetail,
};

/// Recorded steps that a curve shows, at most.
const POINTS: u32 = 1_000;

/// Features that are shown, at most.
const FEATURES: i64 = 24;

/// Examples of each, at most.
const EXAMPLES: i64 = 5;

/// What a report says.
#[derive(Clone, Debug)]
pub struct Report {
    /// The training.
    pub training: TrainingDetail,
    /// Its recorded steps, thinned.
    pub metrics: Vec<Metric>,
    /// How often its features are active.
    pub density: Vec<FrequencyBin>,
    /// The best of them.
    pub features: Vec<BestFeature>,
}

/// Reads what a report on a training says; none where there is no such training.
///
/// # Errors
/// [`QueryError`].
pub async fn gather(queries: &Queries, id: &str) -> Result<Option<Report>, QueryError> {
    let Some(training) = queries.training(id).await? else {
        return Ok(None);
    };
    let all = MetricsRange {
        from_step: 0,
        to_step: i32::MAX,
        points: POINTS,
    };
    Ok(Some(Report {
        training,
        metrics: queries.metrics(id, all).await?,
        density: queries.feature_density(id).await?,
        features: queries.best_features(id, FEATURES, EXAMPLES).await?,
    }))
}
