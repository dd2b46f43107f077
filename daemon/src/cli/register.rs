//! Models and datasets: `add`, `ls`, `show`, `retry`, `tokenize`.

mod dataset;
mod model;

pub(super) use dataset::{dataset, list_datasets, show_dataset};
pub(super) use model::{list_models, model, show_model};

use super::{
    arguments::{PageArguments, RequestArguments},
    client::{Client, encode, with_query},
    failure::Failure,
    output::Output,
    table::Table,
    wait::{Wanted, wait},
};
use crate::queries::Page;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{path::Path, process::ExitCode, time::Duration};

/// What a command is answered with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) events: Vec<String>,
    pub(super) position: Option<String>,
    pub(super) repeated: bool,
    pub(super) visible: bool,
}

/// Registers it, and waits if asked to.
pub(super) async fn add(
    client: &Client,
    what: &str,
    body: Value,
    request: &RequestArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let answer: Answer = client
        .post(
            &format!("/v1/{what}s"),
            Some(body),
            request.idempotency_key.as_deref(),
        )
        .await?;
    finish(client, what, answer, request, output).await
}

pub(super) async fn retry(
    client: &Client,
    what: &str,
    id: &str,
    request: &RequestArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let answer: Answer = client
        .post(
            &format!("/v1/{what}s/{}/retry", encode(id)),
            None,
            request.idempotency_key.as_deref(),
        )
        .await?;
    finish(client, what, answer, request, output).await
}

/// Prints the id alone, so that a script can keep it; after the wait, if there is one.
pub(super) async fn finish(
    client: &Client,
    what: &str,
    answer: Answer,
    request: &RequestArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    if request.wait {
        let wanted = Wanted {
            category: what,
            id: &answer.id,
            good: &["ready"],
            bad: &["error"],
            since: answer.position.as_deref(),
            limit: Duration::from_secs(request.timeout),
        };
        wait(client, wanted, output).await?;
    }
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    Ok(ExitCode::SUCCESS)
}

/// Rows of a list, as many pages as it takes.
pub(super) async fn list<T: DeserializeOwned>(
    client: &Client,
    path: &str,
    page: &PageArguments,
) -> Result<Vec<T>, Failure> {
    let mut rows = Vec::new();
    let mut after = None;
    let most = page.limit as usize;
    while rows.len() < most {
        let size = (most - rows.len()).min(500);
        let path = with_query(
            path,
            &[
                ("status", page.status.clone()),
                ("limit", Some(size.to_string())),
                ("after", after),
            ],
        );
        let page: Page<T> = client.get(&path).await?;
        rows.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(rows)
}

/// What is going on, and how far it is.
fn with_progress(status: String, progress: Option<f64>) -> String {
    match progress {
        Some(percent) if status != "ready" && status != "error" => {
            format!("{status} {percent:.0}%")
        }
        _ => status,
    }
}

pub(super) fn print(table: &Table, nothing: &str, output: Output) {
    if table.is_empty() {
        output.remark(nothing);
        return;
    }
    for line in table.lines() {
        output.line(line);
    }
}

/// A path as the daemon will understand it, which has a working directory of its own.
pub(super) fn absolute(client: &Client, path: &Path) -> Result<String, Failure> {
    let path = if client.is_local() {
        std::path::absolute(path).map_err(|error| {
            Failure::usage("path_invalid", format!("{}: {error}", path.display()))
        })?
    } else {
        path.to_owned()
    };
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::usage(
            "path_invalid",
            format!("{} is not UTF-8; rename it", path.display()),
        )
    })
}

pub(super) fn without_nulls(mut value: Value) -> Value {
    if let Some(map) = value.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    value
}
