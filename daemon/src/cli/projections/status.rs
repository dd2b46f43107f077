//! `projections status`: how far the tables are, and what is amiss with them.

use crate::cli::{client::Client, failure::Failure, format, output::Output, table::Table};
use chrono::{DateTime, Utc};
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
    #[serde(default)]
    is_rebuilding: bool,
    stopped_by: Option<String>,
    stopped_because: Option<String>,
    #[serde(default)]
    gaps: Vec<Gap>,
    #[serde(default)]
    differences: Vec<Difference>,
    #[serde(default)]
    stray_activations: i64,
}

#[derive(Deserialize, Serialize)]
pub(super) struct Gap {
    position: String,
    event: String,
    artifact: String,
    reason: String,
}

#[derive(Deserialize)]
struct Difference {
    table: String,
    live_rows: i64,
    built_rows: i64,
    first_id: Option<String>,
    found_at: DateTime<Utc>,
    mended: bool,
}

impl Gap {
    pub(super) fn line(&self, read_model: &str) -> String {
        format!(
            "{read_model} lacks the rows of {} ({} at {}): {}",
            self.artifact, self.event, self.position, self.reason
        )
    }
}

fn remark(status: &Status) -> String {
    if let Some(because) = &status.stopped_because {
        return match &status.stopped_by {
            Some(event) => format!("at event {event}: {because}"),
            None => because.clone(),
        };
    }
    match (status.rebuilt_events, status.is_rebuilding) {
        (Some(events), true) => format!("being made anew: {} events", format::whole(events)),
        (Some(events), false) => format!(
            "made anew up to {} events, then interrupted: trainmaster projections rebuild {} goes on",
            format::whole(events),
            status.read_model
        ),
        (None, _) if !status.gaps.is_empty() => {
            format!("{} gap(s), see below", status.gaps.len())
        }
        (None, true) => "being verified".to_owned(),
        (None, false) => String::new(),
    }
}

fn difference(read_model: &str, it: &Difference) -> String {
    let first = it
        .first_id
        .as_deref()
        .map_or_else(String::new, |id| format!(", first at row {id}"));
    let advice = if it.mended {
        "it was replaced; unless somebody had written to it by hand, report it".to_owned()
    } else {
        format!(
            "trainmaster projections rebuild {read_model} replaces it; unless somebody has written to it by hand, report it"
        )
    };
    format!(
        "{read_model}.{} was not what its events make at {}: {} rows instead of {}{first}; {advice}",
        it.table,
        format::time(it.found_at),
        format::whole(it.live_rows),
        format::whole(it.built_rows),
    )
}

pub(super) async fn show(client: &Client, output: Output) -> Result<ExitCode, Failure> {
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
        let remark = remark(&status);
        lacking.extend(status.gaps.iter().map(|gap| gap.line(&status.read_model)));
        for it in &status.differences {
            lacking.push(difference(&status.read_model, it));
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
