//! The metrics of the daemon.

use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use sqlx::PgPool;
use std::sync::OnceLock;

/// Seconds from 1 ms to 10 s.
const LATENCY_BOUNDARIES: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// What the daemon counts and measures. Without an OTLP endpoint, recording does nothing.
#[derive(Clone, Debug)]
pub struct Instruments {
    /// `trainmaster.log.appends`: events appended; attribute `category`.
    pub appends: Counter<u64>,
    /// `trainmaster.log.conflicts`: appends that met a newer version of their stream; attribute `category`.
    pub conflicts: Counter<u64>,
    /// `trainmaster.log.append.duration`, seconds.
    pub append_duration: Histogram<f64>,
    /// `trainmaster.projection.lag.events`: events that a read model has not seen; attribute `read_model`.
    pub projection_lag_events: Gauge<u64>,
    /// `trainmaster.projection.lag`, seconds: age of the oldest event that a read model has not seen; attribute `read_model`.
    pub projection_lag_seconds: Gauge<f64>,
    /// `trainmaster.projection.stray_activations`: rows of `feature_activations` that belong to no partition: anything above 0 is a fault.
    pub stray_activations: Gauge<u64>,
    /// `trainmaster.outbox.depth`: tasks that wait in the outbox.
    pub outbox_depth: Gauge<u64>,
    /// `trainmaster.queue.depth`: tasks that wait in the queue.
    pub queue_depth: Gauge<u64>,
    /// `trainmaster.dispatch.latency`, seconds from the command's commit to its handler.
    pub dispatch_latency: Histogram<f64>,
    /// `trainmaster.runs`: trainings; attribute `state`.
    pub runs: Gauge<u64>,
    /// `trainmaster.training.tokens_per_second`; attribute `training`.
    pub tokens_per_second: Gauge<f64>,
    /// `trainmaster.training.loss`; attribute `training`.
    pub loss: Gauge<f64>,
    /// `trainmaster.reports.refused`: reports of a superseded lease; attribute `report`.
    pub refused_reports: Counter<u64>,
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let counter = |name, unit, about| {
            meter
                .u64_counter(name)
                .with_unit(unit)
                .with_description(about)
                .build()
        };
        let seconds = |name, about| {
            meter
                .f64_histogram(name)
                .with_unit("s")
                .with_description(about)
                .with_boundaries(LATENCY_BOUNDARIES.to_vec())
                .build()
        };
        let count = |name, unit, about| {
            meter
                .u64_gauge(name)
                .with_unit(unit)
                .with_description(about)
                .build()
        };
        let measure = |name, unit, about| {
            meter
                .f64_gauge(name)
                .with_unit(unit)
                .with_description(about)
                .build()
        };
        Self {
            appends: counter(
                "trainmaster.log.appends",
                "{event}",
                "Events appended to the log",
            ),
            conflicts: counter(
                "trainmaster.log.conflicts",
                "{conflict}",
                "Appends that met a newer version",
            ),
            append_duration: seconds("trainmaster.log.append.duration", "Time of an append"),
            projection_lag_events: count(
                "trainmaster.projection.lag.events",
                "{event}",
                "Events a read model has not seen",
            ),
            projection_lag_seconds: measure(
                "trainmaster.projection.lag",
                "s",
                "Age of the oldest event a read model has not seen",
            ),
            stray_activations: count(
                "trainmaster.projection.stray_activations",
                "{row}",
                "Activations of features that belong to no partition, counted up to 1,000",
            ),
            outbox_depth: count(
                "trainmaster.outbox.depth",
                "{task}",
                "Tasks that wait in the outbox",
            ),
            queue_depth: count(
                "trainmaster.queue.depth",
                "{task}",
                "Tasks that wait in the queue",
            ),
            dispatch_latency: seconds(
                "trainmaster.dispatch.latency",
                "From a command's commit to its handler",
            ),
            runs: count("trainmaster.runs", "{training}", "Trainings by state"),
            tokens_per_second: measure(
                "trainmaster.training.tokens_per_second",
                "{token}/s",
                "Speed of a training",
            ),
            loss: measure("trainmaster.training.loss", "1", "Loss of a training"),
            refused_reports: counter(
                "trainmaster.reports.refused",
                "{report}",
                "Reports of a superseded lease",
            ),
        }
    }
}

static INSTRUMENTS: OnceLock<Instruments> = OnceLock::new();

/// The daemon's instruments.
#[must_use]
pub fn instruments() -> &'static Instruments {
    INSTRUMENTS.get_or_init(|| Instruments::new(&global::meter("trainmaster")))
}

/// Creates the instruments of the meter provider that was just set, and the process's own.
pub(super) fn install() {
    let _ = instruments();
    observe_memory();
}

/// Reports how `pool` is used: `trainmaster.pool.connections` with attributes `pool` and `state` (`used`, `idle`).
pub fn observe_pool(name: &'static str, pool: &PgPool) {
    let pool = pool.clone();
    global::meter("trainmaster")
        .u64_observable_gauge("trainmaster.pool.connections")
        .with_unit("{connection}")
        .with_description("Connections of a pool")
        .with_callback(move |observer| {
            let idle = pool.num_idle() as u64;
            let used = u64::from(pool.size()).saturating_sub(idle);
            for (state, count) in [("used", used), ("idle", idle)] {
                observer.observe(
                    count,
                    &[KeyValue::new("pool", name), KeyValue::new("state", state)],
                );
            }
        })
        .build();
}

/// Reports `process.memory.usage`, the resident memory of this process in bytes.
fn observe_memory() {
    global::meter("trainmaster")
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Resident memory of the daemon")
        .with_callback(|observer| {
            if let Some(bytes) = resident_bytes() {
                observer.observe(bytes, &[]);
            }
        })
        .build();
}

/// The resident memory of this process, as the kernel says it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
