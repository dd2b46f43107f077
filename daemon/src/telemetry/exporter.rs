//! The OTLP exporters, by OpenTelemetry's standard variables.

use super::TelemetryError;
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    metrics::{SdkMeterProvider, Temporality, data::ResourceMetrics, exporter::PushMetricExporter},
    trace::{SdkTracerProvider, SpanData},
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// The providers; without an endpoint, spans are made but sent nowhere and there are no metrics.
pub(super) fn providers() -> Result<(SdkTracerProvider, Option<SdkMeterProvider>), TelemetryError> {
    let resource = resource();
    let mut tracer = SdkTracerProvider::builder().with_resource(resource.clone());
    if wanted("TRACES") {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .build()
            .map_err(|error| TelemetryError::Exporter {
                signal: "traces",
                error,
            })?;
        tracer = tracer.with_batch_exporter(Reported {
            exporter,
            signal: "traces",
            failing: AtomicBool::new(false),
        });
    }
    let meter = if wanted("METRICS") {
        let exporter = MetricExporter::builder()
            .with_tonic()
            .build()
            .map_err(|error| TelemetryError::Exporter {
                signal: "metrics",
                error,
            })?;
        let exporter = Reported {
            exporter,
            signal: "metrics",
            failing: AtomicBool::new(false),
        };
        Some(
            SdkMeterProvider::builder()
                .with_resource(resource)
                .with_periodic_exporter(exporter)
                .build(),
        )
    } else {
        None
    };
    Ok((tracer.build(), meter))
}

/// Whether the environment asks for this signal.
fn wanted(signal: &str) -> bool {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))
        .or_else(|| variable("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let disabled =
        variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let none = variable(&format!("OTEL_{signal}_EXPORTER")).is_some_and(|value| value == "none");
    endpoint.is_some() && !disabled && !none
}

/// Who reports: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` win over the name of the program.
fn resource() -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let builder = Resource::builder().with_attribute(version);
    let named = std::env::var("OTEL_SERVICE_NAME").is_ok_and(|name| !name.is_empty())
        || std::env::var("OTEL_RESOURCE_ATTRIBUTES")
            .is_ok_and(|list| list.contains("service.name="));
    if named {
        builder.build()
    } else {
        builder.with_service_name("trainmaster").build()
    }
}

/// An exporter whose failures are logged once, and its recovery once, however often it tries.
#[derive(Debug)]
struct Reported<E> {
    exporter: E,
    signal: &'static str,
    failing: AtomicBool,
}

impl<E> Reported<E> {
    fn report(&self, result: &OTelSdkResult) {
        let fails = result.is_err();
        if self.failing.swap(fails, Ordering::Relaxed) == fails {
            return;
        }
        let signal = self.signal;
        match result {
            Err(error) => {
                tracing::warn!(signal, %error, "telemetry cannot be sent and is dropped until its receiver answers")
            }
            Ok(()) => tracing::info!(signal, "telemetry is sent again"),
        }
    }
}

impl<E: opentelemetry_sdk::trace::SpanExporter> opentelemetry_sdk::trace::SpanExporter
    for Reported<E>
{
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.report(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

impl<E: PushMetricExporter> PushMetricExporter for Reported<E> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let result = self.exporter.export(metrics).await;
        self.report(&result);
        result
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
