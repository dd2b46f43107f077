//! What is logged and what becomes a span.
//!
//! One filter for the whole subscriber instead of one a layer: a filter a layer keeps its verdicts in thread-local state, which
//! `enabled!` without an event (as sqlx does for each statement) leaves behind for the next event to trip over.

use std::sync::{Arc, PoisonError, RwLock};
use tracing::{Level, Metadata, Subscriber, subscriber::Interest};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, ParseError, Targets},
    layer::Context,
};

/// Unless the settings say otherwise: notices such as "already exists, skipping" are no news, and the SDK's complaints come with every
/// failed export (exporter.rs says the same once).
const QUIET: &str = "sqlx::postgres::notice=warn,opentelemetry=off,";

/// The filter. Cheap to clone; clones share their level.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<RwLock<Targets>>);

impl Gate {
    /// One that lets through what `level` says: a level, or directives such as `info,trainmaster::dispatch=debug`.
    pub fn new(level: &str) -> Result<Self, ParseError> {
        Ok(Self(Arc::new(RwLock::new(parse(level)?))))
    }

    /// Changes the level.
    pub fn set(&self, level: &str) -> Result<(), ParseError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = parse(level)?;
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }

    fn lets_through(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with("trainmaster");
        // Spans carry trace ids, so those of the daemon are there whatever is logged.
        (metadata.is_span() && ours && *metadata.level() <= Level::INFO)
            || self
                .0
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .would_enable(metadata.target(), metadata.level())
    }
}

/// Parses the setting.
pub(super) fn parse(level: &str) -> Result<Targets, ParseError> {
    format!("{QUIET}{level}").parse()
}

impl<S: Subscriber> Layer<S> for Gate {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.lets_through(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lets_through(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let targets = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let most = targets
            .iter()
            .map(|(_, level)| level)
            .chain(targets.default_level())
            .max();
        most.map(|level| level.max(LevelFilter::INFO))
    }
}
