//! Counts trainings by state, for the metric `trainmaster.runs`, rows that should not be, for
//! `trainmaster.projection.stray_activations`, and the bytes of the database.

use crate::{log::Log, telemetry::instruments};
use opentelemetry::KeyValue;
use sqlx::PgPool;
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

/// Between two counts: metrics are sent once a minute unless OTEL_METRIC_EXPORT_INTERVAL says otherwise.
const INTERVAL: Duration = Duration::from_secs(5);

/// Counts at once, and after something was appended, until `shutdown`.
pub(super) async fn count(log: Log, shutdown: CancellationToken) {
    let pool = log.pool().clone();
    let mut appended = log.appended();
    let mut is_first = true;
    // A state that nothing is in any more is reported as 0, not as it last was.
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut known_strays = 0;
    loop {
        let news = async {
            if !std::mem::take(&mut is_first) {
                // The sender lives as long as `log`.
                let _ = appended.changed().await;
                // By then the read model shows it, and whatever else comes with it.
                tokio::time::sleep(INTERVAL).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = news => appended.mark_unchanged(),
        }
        strays(&pool, &mut known_strays).await;
        database(&pool).await;
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

/// How large the database is, and when its write-ahead log was last archived, or failed to be.
async fn database(pool: &PgPool) {
    let looked: Result<(i64, Option<f64>, Option<f64>), _> = sqlx::query_as(
        "SELECT pg_database_size(current_database()),
                extract(epoch FROM last_archived_time)::float8,
                extract(epoch FROM last_failed_time)::float8
           FROM pg_stat_archiver",
    )
    .fetch_one(pool)
    .await;
    match looked {
        Ok((size_bytes, archived_at, failed_at)) => {
            let instruments = instruments();
            instruments
                .database_size
                .record(size_bytes.unsigned_abs(), &[]);
            instruments
                .wal_archived_at
                .record(archived_at.unwrap_or_default(), &[]);
            instruments
                .wal_failed_at
                .record(failed_at.unwrap_or_default(), &[]);
        }
        Err(error) => tracing::debug!(%error, "the database cannot be measured"),
    }
}

/// Activations that no partition takes: the projector puts none there, so somebody else did.
async fn strays(pool: &PgPool, known: &mut i64) {
    let counted: Result<i64, _> = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM mistudio.feature_activations_default LIMIT 1000) AS stray",
    )
    .fetch_one(pool)
    .await;
    let Ok(counted) =
        counted.inspect_err(|error| tracing::debug!(%error, "strays cannot be counted"))
    else {
        return;
    };
    instruments()
        .stray_activations
        .record(counted.unsigned_abs(), &[]);
    if counted > *known {
        tracing::warn!(
            rows = counted,
            "ALERT: rows in mistudio.feature_activations_default belong to no partition; build the read model anew"
        );
    }
    *known = counted;
}
