//! `log segments` and `log archive`: the parts of the log, and taking the old ones out of the database.

use super::{
    arguments::ArchiveArguments,
    client::{Client, encode},
    failure::Failure,
    format,
    output::Output,
    progress_bar::LongWork,
    table::Table,
};
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::process::ExitCode;

#[derive(Deserialize)]
struct Segments {
    items: Vec<Value>,
}

#[derive(Deserialize)]
struct Segment {
    number: i32,
    state: String,
    events: i64,
    last_recorded_at: Option<chrono::DateTime<chrono::Utc>>,
    file: Option<String>,
    bytes: Option<i64>,
}

#[derive(Deserialize, Serialize)]
struct Outcome {
    archived: Vec<Archived>,
    due: Vec<Value>,
}

#[derive(Deserialize, Serialize)]
struct Archived {
    segment: i32,
    events: i64,
    file: String,
    bytes: i64,
    sha256: String,
}

pub(super) async fn list(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let segments: Segments = client.get("/v1/log/segments").await?;
    if output.is_json() {
        output.json(&segments.items)?;
    } else {
        print(segments.items, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn archive(
    client: &Client,
    arguments: ArchiveArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let mut path = format!("/v1/log/archive?dry_run={}", arguments.dry_run);
    if let Some(before) = arguments.before {
        path.push_str("&before=");
        path.push_str(&encode(&before.to_rfc3339()));
    }
    let mut work = LongWork::new("archiving", output);
    let outcome = client
        .long_running(&Method::POST, &path, |sign| work.show(sign))
        .await;
    work.end();
    let outcome: Outcome = outcome?;
    if output.is_json() {
        output.json(&outcome)?;
    } else if arguments.dry_run {
        if outcome.due.is_empty() {
            output.line("nothing would leave: no segment has only older events");
        } else {
            print(outcome.due, output)?;
        }
    } else if outcome.archived.is_empty() {
        output.line("nothing has left: no segment has only older events");
    } else {
        for archived in outcome.archived {
            output.line(format!(
                "segment {}: {} events are in {} ({} bytes)",
                archived.segment,
                format::whole(archived.events),
                archived.file,
                format::whole(archived.bytes)
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(segments: Vec<Value>, output: Output) -> Result<(), Failure> {
    let mut table = Table::new(&[">SEGMENT", "STATE", ">EVENTS", "UP TO", ">BYTES", "FILE"]);
    for segment in segments {
        let segment: Segment = serde_json::from_value(segment).map_err(|error| {
            Failure::failed(
                "unexpected_answer",
                format!("the daemon's answer cannot be read ({error}); is it of another version?"),
            )
        })?;
        table.row(vec![
            segment.number.to_string(),
            segment.state,
            format::whole(segment.events),
            segment
                .last_recorded_at
                .map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M:%S").to_string()),
            segment.bytes.map_or_else(String::new, format::whole),
            segment.file.unwrap_or_default(),
        ]);
    }
    for line in table.lines() {
        output.line(line);
    }
    Ok(())
}
