//! The metrics of the daemon.

use super::observed;
use opentelemetry::{
    KeyValue, global,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use std::sync::OnceLock;
use trainmaster_domain::{
    Category,
    attempt::{LossReason, POISON},
};

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
    /// `trainmaster.log.archived`: events that left the database for the archive.
    pub archived_events: Counter<u64>,
    /// `trainmaster.log.append.duration`, seconds.
    pub append_duration: Histogram<f64>,
    /// `trainmaster.projection.lag.events`: events that a read model has not seen; attribute `read_model`.
    pub projection_lag_events: Gauge<u64>,
    /// `trainmaster.projection.lag`, seconds: age of the oldest event that a read model has not seen; attribute `read_model`.
    pub projection_lag_seconds: Gauge<f64>,
    /// `trainmaster.projection.stopped`: 1 while a read model does not go on by itself; attribute `read_model`.
    pub projection_stopped: Gauge<u64>,
    /// `trainmaster.projection.differences`: tables that a rebuild made otherwise than they were; attribute `read_model`.
    pub projection_differences: Gauge<u64>,
    /// `trainmaster.log.verify.faults`: 1 when the log was last found to be otherwise than it was written, else 0.
    pub log_faults: Gauge<u64>,
    /// `trainmaster.log.verify.last`, seconds since 1970: when it was last looked at.
    pub log_verified_at: Gauge<f64>,
    /// `trainmaster.heartbeat.duration`, seconds that the database took to answer a heartbeat.
    pub heartbeat_duration: Histogram<f64>,
    /// `trainmaster.heartbeat.failures`: heartbeats that were not answered.
    pub heartbeat_failures: Counter<u64>,
    /// `trainmaster.database.size`, bytes.
    pub database_size: Gauge<u64>,
    /// `trainmaster.wal.archive.success`, seconds since 1970: when a segment of the write-ahead log was last archived.
    pub wal_archived_at: Gauge<f64>,
    /// `trainmaster.wal.archive.failure`, seconds since 1970: when that last failed.
    pub wal_failed_at: Gauge<f64>,
    /// `trainmaster.runs.lost`: runs that ended without a last word; attribute `reason`.
    pub lost_runs: Counter<u64>,
    /// `trainmaster.runs.failed`: work that failed, with code `poison` after too many attempts; attributes `category` and `code`.
    pub failed_runs: Counter<u64>,
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
    /// `trainmaster.training.step`; attribute `training`.
    pub step: Gauge<u64>,
    /// `trainmaster.training.l0`: mean count of latents that are not zero; attribute `training`.
    pub l0: Gauge<f64>,
    /// `trainmaster.training.explained_variance`, a fraction; attribute `training`.
    pub explained_variance: Gauge<f64>,
    /// `trainmaster.training.dead_latents`; attribute `training`.
    pub dead_latents: Gauge<i64>,
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
            archived_events: counter(
                "trainmaster.log.archived",
                "{event}",
                "Events that left the database for the archive",
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
            projection_stopped: count(
                "trainmaster.projection.stopped",
                "",
                "1 while a read model does not go on by itself",
            ),
            projection_differences: count(
                "trainmaster.projection.differences",
                "{table}",
                "Tables that a rebuild made otherwise than they were",
            ),
            log_faults: count(
                "trainmaster.log.verify.faults",
                "",
                "1 when the log was last found to be otherwise than it was written",
            ),
            log_verified_at: measure(
                "trainmaster.log.verify.last",
                "s",
                "When the log was last verified, since 1970",
            ),
            heartbeat_duration: seconds(
                "trainmaster.heartbeat.duration",
                "Time that the database took to answer a heartbeat",
            ),
            heartbeat_failures: counter(
                "trainmaster.heartbeat.failures",
                "{beat}",
                "Heartbeats that the database did not answer",
            ),
            database_size: count("trainmaster.database.size", "By", "Size of the database"),
            wal_archived_at: measure(
                "trainmaster.wal.archive.success",
                "s",
                "When a WAL segment was last archived, since 1970",
            ),
            wal_failed_at: measure(
                "trainmaster.wal.archive.failure",
                "s",
                "When archiving a WAL segment last failed, since 1970",
            ),
            lost_runs: counter(
                "trainmaster.runs.lost",
                "{run}",
                "Runs that ended without a last word",
            ),
            failed_runs: counter("trainmaster.runs.failed", "{run}", "Work that failed"),
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
            loss: measure("trainmaster.training.loss", "", "Loss of a training"),
            step: count("trainmaster.training.step", "", "Steps of a training"),
            l0: measure(
                "trainmaster.training.l0",
                "",
                "Mean count of latents that are not zero",
            ),
            explained_variance: measure(
                "trainmaster.training.explained_variance",
                "",
                "Fraction of variance explained",
            ),
            dead_latents: meter
                .i64_gauge("trainmaster.training.dead_latents")
                .with_description("Latents that have not fired within the window")
                .build(),
            refused_reports: counter(
                "trainmaster.reports.refused",
                "{report}",
                "Reports of a superseded lease",
            ),
        }
    }
}

impl Instruments {
    /// What is counted seldom is there from the beginning: of a counter that appears with 1, nobody sees an increase.
    fn begin_at_zero(&self) {
        self.heartbeat_failures.add(0, &[]);
        for reason in LossReason::ALL {
            let reason = KeyValue::new("reason", reason.name());
            self.lost_runs.add(0, &[reason]);
        }
        for category in [
            Category::Dataset,
            Category::Model,
            Category::Training,
            Category::Job,
        ] {
            let category = KeyValue::new("category", category.as_str());
            let poison = KeyValue::new("code", POISON);
            self.failed_runs.add(0, &[category.clone(), poison]);
            self.conflicts.add(0, &[category]);
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
    instruments().begin_at_zero();
    observed::process();
}
