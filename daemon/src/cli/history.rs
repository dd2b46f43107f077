//! `show --at` and `events diff`: what was, and what changed.

use super::{
    arguments::history::DiffArguments,
    client::{Client, encode, with_query},
    failure::Failure,
    format,
    output::Output,
    progress_bar::LongWork,
    table::{Table, pairs},
};
use chrono::{DateTime, Utc};
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, process::ExitCode};
use trainmaster_domain::{
    Category,
    id::{
        CrossValidationId, DatasetId, ExtractionTemplateId, JobId, ModelId, PresetId,
        TrainingTemplateId,
    },
};

#[derive(Deserialize)]
struct Then {
    category: String,
    id: String,
    version: u64,
    position: String,
    recorded_at: DateTime<Utc>,
    status: String,
    state: Value,
}

/// What kind of thing has such an id.
fn category(id: &str) -> Category {
    [
        (DatasetId::PREFIX, Category::Dataset),
        (ModelId::PREFIX, Category::Model),
        (JobId::PREFIX, Category::Job),
        (ExtractionTemplateId::PREFIX, Category::ExtractionTemplate),
        (TrainingTemplateId::PREFIX, Category::TrainingTemplate),
        (PresetId::PREFIX, Category::Preset),
        (CrossValidationId::PREFIX, Category::CrossValidation),
    ]
    .into_iter()
    .find(|(prefix, _)| id.starts_with(prefix))
    .map_or_else(
        || {
            if id.bytes().all(|byte| byte.is_ascii_digit()) {
                Category::Feature
            } else {
                Category::Training
            }
        },
        |(_, category)| category,
    )
}

pub(super) async fn show_at(
    client: &Client,
    id: &str,
    at: &str,
    output: Output,
) -> Result<ExitCode, Failure> {
    let path = format!("/v1/history/{}/{}", category(id), encode(id));
    let path = with_query(&path, &[("at", Some(at.to_owned()))]);
    let value: Value = client.get(&path).await?;
    if output.is_json() {
        output.json(&value)?;
        return Ok(ExitCode::SUCCESS);
    }
    let then = Then::deserialize(&value).map_err(|error| {
        Failure::failed(
            "unexpected_answer",
            format!("the daemon's answer cannot be read ({error}); is it of another version?"),
        )
    })?;
    let mut leaves = vec![];
    flatten("", &then.state, &mut leaves);
    let mut lines = vec![
        (then.category.as_str(), then.id),
        ("status", then.status),
        ("as of", format::time(then.recorded_at)),
        ("version", then.version.to_string()),
        ("position", then.position),
    ];
    lines.extend(
        leaves
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone())),
    );
    for line in pairs(&lines) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Values by their place; what is null or empty is left out.
fn flatten(place: &str, value: &Value, leaves: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(map) => {
            for (name, value) in map {
                let place = if place.is_empty() {
                    name.clone()
                } else {
                    format!("{place}.{name}")
                };
                flatten(&place, value, leaves);
            }
        }
        Value::Array(items) if items.is_empty() => {}
        other => leaves.push((place.to_owned(), text(other))),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[derive(Deserialize, Serialize)]
struct Difference {
    events: i64,
    streams: i64,
    by_type: BTreeMap<String, i64>,
    items: Vec<Changed>,
}

#[derive(Deserialize, Serialize)]
struct Changed {
    category: String,
    id: String,
    change: String,
    status_after: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status_before: Option<String>,
    #[serde(default)]
    fields: Vec<FieldChange>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Serialize)]
struct FieldChange {
    field: String,
    before: Value,
    after: Value,
}

pub(super) async fn diff(
    client: &Client,
    arguments: DiffArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let path = with_query(
        "/v1/events/diff",
        &[
            ("from", Some(arguments.from)),
            ("to", arguments.to),
            ("limit", Some(arguments.limit.to_string())),
        ],
    );
    let mut work = LongWork::new("comparing", output);
    let difference = client
        .long_running(&Method::GET, &path, |sign| work.show(sign))
        .await;
    work.end();
    let difference: Difference = difference?;
    if output.is_json() {
        output.json(&difference)?;
        return Ok(ExitCode::SUCCESS);
    }
    for item in &difference.items {
        let status = match &item.status_before {
            Some(before) if *before != item.status_after => {
                format!("{before} → {}", item.status_after)
            }
            _ => item.status_after.clone(),
        };
        output.line(format!(
            "{} {} {}: {status}",
            item.category, item.id, item.change
        ));
        // Of what is new, all would differ.
        if item.change == "changed" {
            for one in &item.fields {
                let (before, after) = (text(&one.before), text(&one.after));
                output.line(format!(
                    "  {}: {} → {}",
                    one.field,
                    format::short(&before, 60),
                    format::short(&after, 60)
                ));
            }
        }
    }
    let told = i64::try_from(difference.items.len()).unwrap_or(i64::MAX);
    if told < difference.streams {
        output.line(format!(
            "… and {} more; --limit tells of more of them",
            format::whole(difference.streams - told)
        ));
    }
    let mut table = Table::new(&["EVENT", ">COUNT"]);
    for (kind, count) in difference.by_type {
        table.row(vec![kind, format::whole(count)]);
    }
    for line in table.lines() {
        output.line(line);
    }
    output.line(format!(
        "{} events of {} streams",
        format::whole(difference.events),
        format::whole(difference.streams)
    ));
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, arguments::history::EventsCommand};
    use clap::Parser;

    #[test]
    fn points_are_taken_as_they_are_written() {
        let parse = |arguments: &[&str]| {
            let all = [&["trainmaster"], arguments].concat();
            Cli::try_parse_from(all).map(|cli| cli.command)
        };
        let shown = parse(&["show", "tr_1", "--at", "2 hours ago"]).unwrap();
        assert!(
            matches!(&shown, Command::Show { id, at: Some(at) } if id == "tr_1" && at == "2 hours ago"),
            "{shown:?}"
        );
        let Command::Events(events) = parse(&["events", "diff", "1d", "812-33"]).unwrap() else {
            panic!("these are events");
        };
        let Some(EventsCommand::Diff(diff)) = events.command else {
            panic!("this is a diff");
        };
        assert_eq!(
            (diff.from.as_str(), diff.to.as_deref()),
            ("1d", Some("812-33"))
        );
        let Command::Events(events) = parse(&["events", "tr_1", "--last", "3"]).unwrap() else {
            panic!("these are events");
        };
        assert!(events.command.is_none() && events.id.as_deref() == Some("tr_1"));
        for wrong in [
            &["show", "tr_1", "--at"][..],
            &["events", "diff"],
            &["events", "diff", "a", "b", "c"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_id_says_what_it_is_of() {
        for (id, of) in [
            ("tr_1", Category::Training),
            ("m_1", Category::Model),
            ("ext_tmpl_1", Category::ExtractionTemplate),
            ("tmpl_1", Category::TrainingTemplate),
            ("1017", Category::Feature),
        ] {
            assert_eq!(category(id), of, "{id}");
        }
    }
}
