//! The OTLP exporters, by OpenTelemetry's standard variables.

use super::http_client::Client;
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithHttpConfig};
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

/// What spans and metrics go to.
pub(super) struct Providers {
    /// Always there: without an exporter, spans are made but sent nowhere.
    pub tracer: SdkTracerProvider,
    /// None when metrics are not sent.
    pub meter: Option<SdkMeterProvider>,
    /// What of the environment cannot be followed. Telemetry that is misconfigured is missing, and the daemon works.
    pub troubles: Vec<String>,
}

/// The providers that the environment asks for.
pub(super) fn providers() -> Providers {
    let resource = resource();
    let mut troubles = Vec::new();
    let mut tracer = SdkTracerProvider::builder().with_resource(resource.clone());
    if wanted("TRACES") {
        match span_exporter() {
            Ok(exporter) => tracer = tracer.with_batch_exporter(Reported::new(exporter, "traces")),
            Err(error) => troubles.push(format!("traces are not sent: {error}")),
        }
    }
    let meter = wanted("METRICS")
        .then(metric_exporter)
        .and_then(|built| {
            built
                .map_err(|error| troubles.push(format!("metrics are not sent: {error}")))
                .ok()
        })
        .map(|exporter| {
            SdkMeterProvider::builder()
                .with_resource(resource)
                .with_periodic_exporter(Reported::new(exporter, "metrics"))
                .build()
        });
    for signal in ["TRACES", "METRICS"] {
        let protocol = protocol(signal).filter(|protocol| !["grpc", HTTP].contains(&&**protocol));
        if let Some(protocol) = protocol.filter(|_| wanted(signal)) {
            troubles.push(format!(
                "the protocol for {} is {protocol}; grpc (port 4317 as a rule) and {HTTP} (port 4318) are what is spoken, and grpc is now",
                signal.to_lowercase()
            ));
        }
    }
    Providers {
        tracer: tracer.build(),
        meter,
        troubles,
    }
}

/// The protocol that is not gRPC.
const HTTP: &str = "http/protobuf";

fn protocol(signal: &str) -> Option<String> {
    variable(&format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"))
        .or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"))
}

fn by_http(signal: &str) -> Option<Client> {
    protocol(signal)
        .filter(|protocol| protocol == HTTP)
        .and_then(|_| tokio::runtime::Handle::try_current().ok())
        .map(Client)
}

fn span_exporter() -> Result<SpanExporter, ExporterBuildError> {
    match by_http("TRACES") {
        Some(client) => {
            let builder = SpanExporter::builder().with_http();
            builder.with_http_client(client).build()
        }
        None => SpanExporter::builder().with_tonic().build(),
    }
}

fn metric_exporter() -> Result<MetricExporter, ExporterBuildError> {
    match by_http("METRICS") {
        Some(client) => {
            let builder = MetricExporter::builder().with_http();
            builder.with_http_client(client).build()
        }
        None => MetricExporter::builder().with_tonic().build(),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the environment asks for this signal.
fn wanted(signal: &str) -> bool {
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
    fn new(exporter: E, signal: &'static str) -> Self {
        Self {
            exporter,
            signal,
            failing: AtomicBool::new(false),
        }
    }

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
