//! Logs on standard error; traces and metrics over OTLP (gRPC, or HTTP where `OTEL_EXPORTER_OTLP_PROTOCOL` says `http/protobuf`).
//!
//! OTLP is off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or the variable of the signal) is set, and follows OpenTelemetry's standard
//! variables. Spans carry trace ids in any case, so that logs, events and runs can be joined. A receiver that is down costs
//! nothing but the telemetry: queues are bounded, nothing waits for them, and the log says so once.

mod exporter;
mod format;
mod gate;
mod http_client;
mod instruments;
mod observed;
mod propagation;

pub use instruments::{Instruments, instruments};
pub use observed::{observe_backups, observe_disk, observe_pool};
pub use propagation::{set_parent, traceparent};

use crate::config::{LogFormat, LogSettings};
use gate::Gate;
use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{metrics::SdkMeterProvider, trace::SdkTracerProvider};
use std::time::Duration;
use tracing_subscriber::{filter::ParseError, layer::SubscriberExt, util::SubscriberInitExt};

/// How long the last spans and metrics may take to be sent when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is not a level.
    #[error("log.level {level:?} cannot be used: {error}")]
    Level {
        /// The setting.
        level: String,
        /// What is wrong with it.
        error: ParseError,
    },
    /// Something else has installed a subscriber.
    #[error("telemetry is set up already")]
    Twice,
}

/// Keeps telemetry going; [`Telemetry::shutdown`] sends what is left.
#[derive(Debug)]
#[must_use = "what is left is sent by shutdown"]
pub struct Telemetry {
    gate: Gate,
    tracer_provider: SdkTracerProvider,
    meter_provider: Option<SdkMeterProvider>,
}

/// Sets up logs, traces and metrics for this process. Call it within the runtime, once, before [`instruments`] is used.
///
/// # Errors
/// The level cannot be used, or it was called before. What is wrong with the OTEL_* variables is logged.
pub fn init(settings: &LogSettings) -> Result<Telemetry, TelemetryError> {
    let gate = Gate::new(&settings.level).map_err(|error| unusable(&settings.level, error))?;
    let exporter::Providers {
        tracer: tracer_provider,
        meter: meter_provider,
        troubles,
    } = exporter::providers();
    let log = tracing_subscriber::fmt::layer()
        .event_format(format::Format::new(settings.format == LogFormat::Json))
        .with_writer(std::io::stderr);
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer_provider.tracer("trainmaster"))
        .with_location(false)
        .with_threads(false);
    tracing_subscriber::registry()
        .with(gate.clone())
        .with(log)
        .with(spans)
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;

    if let Some(provider) = &meter_provider {
        global::set_meter_provider(provider.clone());
        instruments::install();
    }
    for trouble in troubles {
        tracing::warn!(
            trouble,
            "the OTEL_EXPORTER_OTLP_* variables cannot be followed"
        );
    }
    Ok(Telemetry {
        gate,
        tracer_provider,
        meter_provider,
    })
}

/// Notes that the log was verified just now, and whether it is as it was written.
pub fn verified(is_whole: bool) {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let instruments = instruments();
    instruments.log_faults.record(u64::from(!is_whole), &[]);
    instruments.log_verified_at.record(now.as_secs_f64(), &[]);
}

/// Whether `level` can be a log.level.
pub(crate) fn check_level(level: &str) -> Result<(), TelemetryError> {
    gate::parse(level)
        .map(drop)
        .map_err(|error| unusable(level, error))
}

fn unusable(level: &str, error: ParseError) -> TelemetryError {
    TelemetryError::Level {
        level: level.to_owned(),
        error,
    }
}

impl Telemetry {
    /// Changes what is logged from now on.
    ///
    /// # Errors
    /// `level` is not one; then everything stays as it was.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        self.gate.set(level).map_err(|error| unusable(level, error))
    }

    /// Whether anybody receives metrics.
    #[must_use]
    pub fn sends_metrics(&self) -> bool {
        self.meter_provider.is_some()
    }

    /// Sends what is left, within 5 seconds, and ends telemetry. Failures are not reported: there is nobody left to tell.
    pub async fn shutdown(self) {
        // Exporters need the runtime that waits here, so they are waited for on another thread.
        let flush = tokio::task::spawn_blocking(move || {
            let _ = self.tracer_provider.shutdown_with_timeout(FLUSH_LIMIT);
            if let Some(provider) = self.meter_provider {
                let _ = provider.shutdown_with_timeout(FLUSH_LIMIT);
            }
        });
        let _ = tokio::time::timeout(FLUSH_LIMIT, flush).await;
    }
}
