//! Waiting until a dataset, a model or a training is what it is to become.

use super::{
    client::{Client, EventStream, encode, training_path},
    failure::{Exit, Failure},
    output::Output,
};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::timeout;

/// The status of a row.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub(super) status: String,
    #[serde(default)]
    pub(super) progress: Option<f64>,
    #[serde(default)]
    pub(super) error_message: Option<String>,
}

/// What to wait for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// `dataset`, `model` or `training`.
    pub(super) category: &'a str,
    /// Which.
    pub(super) id: &'a str,
    /// The statuses that are good.
    pub(super) good: &'a [&'a str],
    /// The statuses from which the good ones cannot be reached by waiting.
    pub(super) bad: &'a [&'a str],
    /// What is read must be at least so new: the position of what was just asked for.
    pub(super) since: Option<&'a str>,
    /// How long at most.
    pub(super) limit: Duration,
}

/// A failed attempt is followed by the next one's announcement in the same moment, if there is a next one.
const AFTER_FAILURE: Duration = Duration::from_millis(700);

/// Waits for a status.
pub(super) async fn wait(
    client: &Client,
    wanted: Wanted<'_>,
    output: Output,
) -> Result<Row, Failure> {
    timeout(wanted.limit, follow(client, wanted, output))
        .await
        .unwrap_or_else(|_| {
            Err(Failure::new(
                Exit::TimedOut,
                "wait_timed_out",
                format!(
                    "{} {} is not {} after {} seconds; it goes on all the same",
                    wanted.category,
                    wanted.id,
                    wanted.good.join(" or "),
                    wanted.limit.as_secs()
                ),
            ))
        })
}

async fn follow(client: &Client, wanted: Wanted<'_>, output: Output) -> Result<Row, Failure> {
    let filters = [
        ("category", Some(wanted.category.to_owned())),
        ("stream", Some(wanted.id.to_owned())),
    ];
    let mut stream = EventStream::open(client, &filters, None).await?;
    let row_at = async |position: &str| -> Result<Row, Failure> {
        let path = match wanted.category {
            "training" => training_path(wanted.id),
            category => format!("/v1/{category}s/{}", encode(wanted.id)),
        };
        client.get(&format!("{path}?at_least={position}")).await
    };
    if let Some(since) = wanted.since {
        row_at(since).await?;
    }
    let mut said = String::new();
    loop {
        let row = row_at(stream.position()).await?;
        let now = match row.progress {
            Some(percent) if !wanted.good.contains(&row.status.as_str()) => {
                format!(
                    "{} {}: {} {percent:.0}%",
                    wanted.category, wanted.id, row.status
                )
            }
            _ => format!("{} {}: {}", wanted.category, wanted.id, row.status),
        };
        if now != said {
            output.remark(&now);
            said = now;
        }
        if wanted.good.contains(&row.status.as_str()) {
            return Ok(row);
        }
        let is_bad = wanted.bad.contains(&row.status.as_str());
        let event = if is_bad {
            match timeout(AFTER_FAILURE, stream.next()).await {
                Ok(event) => event?,
                Err(_) => return Err(ended(wanted, &row)),
            }
        } else {
            stream.next().await?
        };
        // What was recorded of a training's steps does not change its status.
        let mut kind = event.kind;
        while kind == "MetricsRecorded" {
            kind = stream.next().await?.kind;
        }
    }
}

fn ended(wanted: Wanted<'_>, row: &Row) -> Failure {
    let why = row
        .error_message
        .as_ref()
        .map_or_else(String::new, |message| format!(": {message}"));
    Failure::failed(
        &format!("{}_{}", wanted.category, row.status),
        format!("{} {} is {}{why}", wanted.category, wanted.id, row.status),
    )
}
