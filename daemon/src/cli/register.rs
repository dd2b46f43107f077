//! Models and datasets: `add`, `ls`, `show`, `retry`.

use super::{
    arguments::{DatasetCommand, ModelCommand, PageArguments, RequestArguments},
    client::{Client, encode, with_query},
    failure::Failure,
    format,
    output::Output,
    table::{Table, pairs},
    wait::{Wanted, wait},
};
use crate::queries::{Dataset, Model, Page};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
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

pub(super) async fn model(
    client: &Client,
    command: ModelCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        ModelCommand::Add {
            path,
            name,
            architecture,
            quantization,
            request,
        } => {
            let body = json!({
                "path": absolute(client, &path)?,
                "name": name,
                "architecture": architecture,
                "quantization": quantization,
            });
            add(client, "model", without_nulls(body), &request, output).await
        }
        ModelCommand::Ls(page) => {
            let models: Vec<Model> = list(client, "/v1/models", &page).await?;
            if output.is_json() {
                output.json(&models)?;
                return Ok(ExitCode::SUCCESS);
            }
            let mut table = Table::new(&[
                "ID",
                "NAME",
                "STATUS",
                "FAMILY",
                "WEIGHTS",
                ">PARAMETERS",
                ">SIZE",
                "ADDED",
            ]);
            for model in models {
                table.row(vec![
                    model.id,
                    format::short(&model.name, 40),
                    model.status,
                    model.architecture,
                    model.quantization,
                    if model.params_count > 0 {
                        format::count(model.params_count as f64)
                    } else {
                        "-".to_owned()
                    },
                    model
                        .disk_size_bytes
                        .map_or_else(|| "-".to_owned(), format::bytes),
                    format::time(model.created_at),
                ]);
            }
            print(
                &table,
                "no models; add one with `trainmaster model add PATH`",
                output,
            );
            Ok(ExitCode::SUCCESS)
        }
        ModelCommand::Show { id } => show_model(client, &id, output).await,
        ModelCommand::Retry { id, request } => retry(client, "model", &id, &request, output).await,
    }
}

pub(super) async fn dataset(
    client: &Client,
    command: DatasetCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        DatasetCommand::Add {
            path,
            tokenizer,
            name,
            description,
            text_column,
            context_length,
            request,
        } => {
            let body = json!({
                "path": absolute(client, &path)?,
                "tokenizer_model": tokenizer,
                "name": name,
                "description": description,
                "text_column": text_column,
                "context_length": context_length,
            });
            add(client, "dataset", without_nulls(body), &request, output).await
        }
        DatasetCommand::Ls(page) => {
            let datasets: Vec<Dataset> = list(client, "/v1/datasets", &page).await?;
            if output.is_json() {
                output.json(&datasets)?;
                return Ok(ExitCode::SUCCESS);
            }
            let mut table = Table::new(&[
                "ID",
                "NAME",
                "STATUS",
                ">DOCUMENTS",
                ">TOKENS",
                ">SIZE",
                "ADDED",
            ]);
            for dataset in datasets {
                let status = match dataset.progress {
                    Some(percent) if dataset.status != "ready" && dataset.status != "error" => {
                        format!("{} {percent:.0}%", dataset.status)
                    }
                    _ => dataset.status,
                };
                table.row(vec![
                    dataset.id,
                    format::short(&dataset.name, 40),
                    status,
                    dataset
                        .num_samples
                        .map_or_else(|| "-".to_owned(), |n| format::whole(n.into())),
                    dataset
                        .num_tokens
                        .map_or_else(|| "-".to_owned(), format::whole),
                    format::bytes(dataset.size_bytes),
                    format::time(dataset.created_at),
                ]);
            }
            print(
                &table,
                "no datasets; add one with `trainmaster dataset add PATH --tokenizer MODEL`",
                output,
            );
            Ok(ExitCode::SUCCESS)
        }
        DatasetCommand::Show { id } => show_dataset(client, &id, output).await,
        DatasetCommand::Retry { id, request } => {
            retry(client, "dataset", &id, &request, output).await
        }
    }
}

pub(super) async fn show_model(
    client: &Client,
    id: &str,
    output: Output,
) -> Result<ExitCode, Failure> {
    let model: Model = client.get(&format!("/v1/models/{}", encode(id))).await?;
    if output.is_json() {
        output.json(&model)?;
        return Ok(ExitCode::SUCCESS);
    }
    let whole = |n: Option<i64>| n.map_or_else(String::new, format::bytes);
    let configuration = model
        .architecture_config
        .as_ref()
        .and_then(Value::as_object)
        .map(|map| {
            let parts: Vec<String> = map
                .iter()
                .filter_map(|(name, value)| match value {
                    Value::Number(number) => Some(format!("{name} {number}")),
                    Value::String(text) => Some(format!("{name} {text}")),
                    _ => None,
                })
                .collect();
            parts.join(", ")
        })
        .unwrap_or_default();
    for line in pairs(&[
        ("model", model.id),
        ("name", model.name),
        ("status", model.status),
        ("error", model.error_message.unwrap_or_default()),
        ("family", model.architecture),
        ("weights", model.quantization),
        (
            "parameters",
            if model.params_count > 0 {
                format::whole(model.params_count)
            } else {
                String::new()
            },
        ),
        ("configuration", configuration),
        ("files", model.file_path.unwrap_or_default()),
        ("size", whole(model.disk_size_bytes)),
        ("needs memory", whole(model.memory_required_bytes)),
        ("added", format::time(model.created_at)),
    ]) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show_dataset(
    client: &Client,
    id: &str,
    output: Output,
) -> Result<ExitCode, Failure> {
    let dataset: Dataset = client.get(&format!("/v1/datasets/{}", encode(id))).await?;
    if output.is_json() {
        output.json(&dataset)?;
        return Ok(ExitCode::SUCCESS);
    }
    let whole = |n: Option<i64>| n.map_or_else(String::new, format::whole);
    for line in pairs(&[
        ("dataset", dataset.id),
        ("name", dataset.name),
        ("description", dataset.description.unwrap_or_default()),
        ("status", dataset.status),
        ("error", dataset.error_message.unwrap_or_default()),
        ("source", dataset.source),
        ("files", dataset.file_path.unwrap_or_default()),
        ("size", format::bytes(dataset.size_bytes)),
        ("documents", whole(dataset.num_samples.map(i64::from))),
        ("tokens", whole(dataset.num_tokens)),
        ("vocabulary", whole(dataset.vocab_size.map(i64::from))),
        (
            "tokens a document",
            dataset
                .avg_sequence_length
                .map_or_else(String::new, |n| format!("{n:.1}")),
        ),
        ("tokenised", dataset.tokenized_path.unwrap_or_default()),
        ("added", format::time(dataset.created_at)),
    ]) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

async fn add(
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

async fn retry(
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
async fn finish(
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
