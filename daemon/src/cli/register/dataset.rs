//! `trainmaster dataset`.

use super::{Answer, absolute, add, finish, list, print, retry, with_progress, without_nulls};
use crate::{
    cli::{
        arguments::{DatasetCommand, SearchArguments},
        client::{Client, encode, with_query},
        failure::Failure,
        format,
        output::Output,
        table::{Table, pairs},
    },
    queries::Dataset,
};
use serde_json::json;
use std::{io::Read, process::ExitCode};

/// What is read of standard input; more is refused by the daemon in any case.
const MOST_INPUT_BYTES: u64 = 64 << 20;

pub(in crate::cli) async fn dataset(
    client: &Client,
    command: DatasetCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        DatasetCommand::Add {
            path,
            hub,
            revision,
            split,
            subset,
            custom,
            tokenizer,
            name,
            description,
            text_column,
            context_length,
            request,
        } => {
            let is_input = !hub && path.as_os_str() == "-";
            let body = json!({
                "path": if hub || is_input { None } else { Some(absolute(client, &path)?) },
                "text": if is_input { Some(standard_input()?) } else { None },
                "hub": hub.then(|| without_nulls(json!({
                    "repository": path, "revision": revision, "split": split, "subset": subset,
                }))),
                "source": (custom && !is_input).then_some("Custom"),
                "tokenizer_model": tokenizer,
                "name": name,
                "description": description,
                "text_column": text_column,
                "context_length": context_length,
            });
            add(client, "dataset", without_nulls(body), &request, output).await
        }
        DatasetCommand::Ls(page) => list_datasets(client, &page, output).await,
        DatasetCommand::Tokenize {
            id,
            tokenizer,
            request,
        } => {
            let answer: Answer = client
                .post(
                    &format!("/v1/datasets/{}/tokenize", encode(&id)),
                    Some(json!({ "tokenizer_model": tokenizer })),
                    request.idempotency_key.as_deref(),
                )
                .await?;
            finish(client, "dataset", answer, &request, output).await
        }
        DatasetCommand::Rm(arguments) => {
            crate::cli::remove::run(client, "dataset", arguments, output).await
        }
        DatasetCommand::Show { id } => show_dataset(client, &id, output).await,
        DatasetCommand::Retry { id, request } => {
            retry(client, "dataset", &id, &request, output).await
        }
    }
}

/// Datasets, the newest first.
pub(in crate::cli) async fn list_datasets(
    client: &Client,
    page: &SearchArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let path = with_query("/v1/datasets", &[("search", page.search.clone())]);
    let datasets: Vec<Dataset> = list(client, &path, &page.page).await?;
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
        let status = with_progress(dataset.status, dataset.progress);
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

pub(in crate::cli) async fn show_dataset(
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
        ("status", with_progress(dataset.status, dataset.progress)),
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

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(MOST_INPUT_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| {
            Failure::usage(
                "text_invalid",
                format!("standard input cannot be read: {error}"),
            )
        })?;
    Ok(text)
}
