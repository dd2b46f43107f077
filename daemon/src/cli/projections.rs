//! `projections`: how far the tables are, and making them anew.

use super::{
    arguments::ProjectionsCommand,
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
struct Projections {
    items: Vec<Value>,
}

#[derive(Deserialize)]
struct Status {
    read_model: String,
    state: String,
    position: String,
    events: i64,
    behind_events: i64,
    behind_seconds: f64,
    rebuilt_events: Option<i64>,
    stopped_because: Option<String>,
    #[serde(default)]
    gaps: Vec<Gap>,
    #[serde(default)]
    stray_activations: i64,
}

#[derive(Deserialize)]
struct Gap {
    position: String,
    event: String,
    artifact: String,
    reason: String,
}

#[derive(Deserialize, Serialize)]
struct Rebuilt {
    read_model: String,
    events: i64,
    seconds: f64,
    tables: Vec<Rows>,
}

#[derive(Deserialize, Serialize)]
struct Rows {
    table: String,
    before: Option<i64>,
    after: i64,
}

pub(super) async fn run(
    client: &Client,
    command: ProjectionsCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        ProjectionsCommand::Status => status(client, output).await,
        ProjectionsCommand::Rebuild { read_model } => rebuild(client, &read_model, output).await,
    }
}

async fn status(client: &Client, output: Output) -> Result<ExitCode, Failure> {
    let projections: Projections = client.get("/v1/projections").await?;
    if output.is_json() {
        output.json(&projections.items)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        "READ MODEL",
        "STATE",
        ">EVENTS",
        ">BEHIND",
        ">SECONDS",
        "POSITION",
        "REMARK",
    ]);
    let mut lacking = vec![];
    for item in &projections.items {
        let status = Status::deserialize(item).map_err(|error| {
            Failure::failed(
                "unexpected_answer",
                format!("the daemon's answer cannot be read ({error}); is it of another version?"),
            )
        })?;
        let remark = match (status.stopped_because, status.rebuilt_events) {
            (Some(because), _) => because,
            (None, Some(events)) => format!("being made anew: {} events", format::whole(events)),
            (None, None) if status.gaps.is_empty() => String::new(),
            (None, None) => format!("{} gap(s), see below", status.gaps.len()),
        };
        for gap in &status.gaps {
            lacking.push(format!(
                "{} lacks the rows of {} ({} at {}): {}",
                status.read_model, gap.artifact, gap.event, gap.position, gap.reason
            ));
        }
        if status.stray_activations > 0 {
            lacking.push(format!(
                "{}.feature_activations_default has {} row(s) that belong to no partition: make it anew",
                status.read_model,
                format::whole(status.stray_activations)
            ));
        }
        table.row(vec![
            status.read_model,
            status.state,
            format::whole(status.events),
            format::whole(status.behind_events),
            format!("{:.1}", status.behind_seconds),
            status.position,
            remark,
        ]);
    }
    for line in table.lines().into_iter().chain(lacking) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

async fn rebuild(client: &Client, read_model: &str, output: Output) -> Result<ExitCode, Failure> {
    let path = format!("/v1/projections/{}/rebuild", encode(read_model));
    let mut work = LongWork::new(format!("making {read_model} anew"), output);
    let rebuilt = client
        .long_running(&Method::POST, &path, |sign| work.show(sign))
        .await;
    work.end();
    let rebuilt: Rebuilt = rebuilt?;
    if output.is_json() {
        output.json(&rebuilt)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["TABLE", ">BEFORE", ">AFTER"]);
    for rows in &rebuilt.tables {
        table.row(vec![
            format!("{read_model}.{}", rows.table),
            rows.before.map_or_else(|| "-".to_owned(), format::whole),
            format::whole(rows.after),
        ]);
    }
    for line in table.lines() {
        output.line(line);
    }
    output.line(format!(
        "{} made anew from {} events in {:.2}s",
        rebuilt.read_model,
        format::whole(rebuilt.events),
        rebuilt.seconds
    ));
    Ok(ExitCode::SUCCESS)
}
