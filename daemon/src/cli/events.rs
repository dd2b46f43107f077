//! `events`: what happened, and what happens.

use super::{
    arguments::EventsArguments,
    client::{Client, EventStream, with_query},
    failure::Failure,
    format,
    output::Output,
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::process::ExitCode;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next: String,
    more: bool,
}

#[derive(Deserialize)]
struct Event {
    position: String,
    stream: String,
    version: u64,
    #[serde(rename = "type")]
    kind: String,
    payload: Value,
    recorded_at: DateTime<Utc>,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    actor: String,
}

pub(super) async fn events(
    client: &Client,
    arguments: EventsArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let filters = [
        ("category", arguments.category),
        ("stream", arguments.id),
        ("type", arguments.kind),
    ];
    let path = with_query("/v1/events", &filters);
    let mut at = match arguments.after {
        None => {
            let last = with_query(&path, &[("last", Some(arguments.last.to_string()))]);
            let page: Page = client.get(&last).await?;
            print(&page.items, output)?;
            page.next
        }
        Some(after) => {
            let mut at = after;
            loop {
                let parameters = [("after", Some(at)), ("limit", Some("500".to_owned()))];
                let page: Page = client.get(&with_query(&path, &parameters)).await?;
                print(&page.items, output)?;
                at = page.next;
                if !page.more {
                    break at;
                }
            }
        }
    };
    if arguments.follow {
        let mut stream = EventStream::open(client, &filters, Some(&at)).await?;
        loop {
            let event = stream.next_value().await?;
            print(std::slice::from_ref(&event), output)?;
            stream.position().clone_into(&mut at);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(events: &[Value], output: Output) -> Result<(), Failure> {
    for value in events {
        if output.is_json() {
            output.json(value)?;
            continue;
        }
        let event = Event::deserialize(value).map_err(|error| {
            Failure::failed(
                "unexpected_answer",
                format!(
                    "an event of the daemon cannot be read ({error}); is it of another version?"
                ),
            )
        })?;
        output.line(format!(
            "{}  {:<12}  {:<29}  {:>5}  {:<20}  {:<10}  {}",
            format::time(event.recorded_at),
            event.position,
            event.stream,
            event.version,
            event.kind,
            event.metadata.actor,
            format::short(&particulars(&event.payload), 110)
        ));
    }
    Ok(())
}

/// A payload in a few words: its plain values, and of columns the last entry.
fn particulars(payload: &Value) -> String {
    fn say(name: &str, value: &Value, parts: &mut Vec<String>) {
        match value {
            Value::Null => {}
            Value::String(text) => parts.push(format!("{name}={text}")),
            Value::Number(number) => parts.push(match number.as_f64() {
                Some(float) if number.is_f64() => format!("{name}={}", format::measure(float)),
                _ => format!("{name}={number}"),
            }),
            Value::Bool(yes) => parts.push(format!("{name}={yes}")),
            Value::Array(entries) => {
                if let Some(last) = entries.last() {
                    say(name, last, parts);
                }
            }
            Value::Object(map) => {
                for (name, value) in map {
                    say(name, value, parts);
                }
            }
        }
    }
    let mut parts = Vec::new();
    if let Some(map) = payload.as_object() {
        for (name, value) in map {
            say(name, value, &mut parts);
        }
    }
    parts.join(" ")
}
