//! The lag as metrics.

use super::Projector;
use crate::telemetry::instruments;
use opentelemetry::KeyValue;
use tracing::debug;
use trainmaster_projections::ReadModel;

pub(super) fn record(read_model: ReadModel, events: u64, seconds: f64) {
    let attributes = [KeyValue::new("read_model", read_model.name())];
    let instruments = instruments();
    instruments
        .projection_lag_events
        .record(events, &attributes);
    instruments
        .projection_lag_seconds
        .record(seconds, &attributes);
}

/// Whether it goes on by itself.
pub(super) fn record_stopped(read_model: ReadModel, stopped: bool) {
    let attributes = [KeyValue::new("read_model", read_model.name())];
    instruments()
        .projection_stopped
        .record(u64::from(stopped), &attributes);
}

impl Projector {
    /// Measures how far a read model is behind. Caught up, it is not behind, and nobody has to ask.
    pub(super) async fn measure(&self, read_model: ReadModel) {
        match self.status_of(read_model).await {
            Ok(status) => record(
                read_model,
                u64::try_from(status.behind_events).unwrap_or(0),
                status.behind_seconds,
            ),
            Err(error) => debug!(%read_model, error = error.in_full(), "cannot measure the lag"),
        }
    }
}
