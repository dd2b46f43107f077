//! A log line, for people or as JSON, with the ids of the trace it belongs to.

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use std::fmt;
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// The format of log lines.
pub(super) struct Format {
    json: bool,
}

impl Format {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        if let Some(span) = context.event_scope().and_then(|mut scope| scope.next()) {
            fields.0.insert("span".into(), span.name().into());
            let otel =
                tracing::dispatcher::get_default(|dispatch| get_otel_context(&span.id(), dispatch));
            if let Some(otel) = otel {
                let ids = otel.span().span_context().clone();
                if ids.is_valid() {
                    fields
                        .0
                        .insert("trace_id".into(), ids.trace_id().to_string().into());
                    fields
                        .0
                        .insert("span_id".into(), ids.span_id().to_string().into());
                }
            }
        }
        let time = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        if self.json {
            let mut line = Map::new();
            line.insert("timestamp".into(), time.into());
            line.insert("level".into(), metadata.level().as_str().into());
            line.insert("target".into(), metadata.target().into());
            line.append(&mut fields.0);
            return writeln!(writer, "{}", Value::Object(line));
        }
        write!(
            writer,
            "{time} {:5} {}:",
            metadata.level(),
            metadata.target()
        )?;
        if let Some(message) = fields.0.remove("message") {
            writer.write_char(' ')?;
            plain(&mut writer, &message)?;
        }
        for (name, value) in &fields.0 {
            write!(writer, " {name}=")?;
            plain(&mut writer, value)?;
        }
        writeln!(writer)
    }
}

/// Text without quotes and on one line, whatever it holds; anything else as JSON.
fn plain(writer: &mut Writer<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::String(text) => text.chars().try_for_each(|c| match c {
            c if c.is_control() => write!(writer, "{}", c.escape_default()),
            c => writer.write_char(c),
        }),
        other => write!(writer, "{other}"),
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }
}
