//! Counts trainings by state, for the metric `trainmaster.runs`.

use crate::telemetry::instruments;
use opentelemetry::KeyValue;
use sqlx::PgPool;
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

/// Metrics are sent once a minute unless OTEL_METRIC_EXPORT_INTERVAL says otherwise.
const INTERVAL: Duration = Duration::from_secs(15);

/// Counts until `shutdown`.
pub(super) async fn count(pool: PgPool, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // A state that nothing is in any more is reported as 0, not as it last was.
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let counted: Result<Vec<(String, i64)>, _> =
            sqlx::query_as("SELECT status::text, count(*) FROM mistudio.trainings GROUP BY 1")
                .fetch_all(&pool)
                .await;
        let Ok(counted) =
            counted.inspect_err(|error| tracing::debug!(%error, "trainings cannot be counted"))
        else {
            continue;
        };
        seen.values_mut().for_each(|count| *count = 0);
        seen.extend(
            counted
                .into_iter()
                .map(|(state, count)| (state, count.unsigned_abs())),
        );
        for (state, count) in &seen {
            instruments()
                .runs
                .record(*count, &[KeyValue::new("state", state.clone())]);
        }
    }
}
