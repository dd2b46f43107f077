//! `trainmaster model`.

use super::{absolute, add, list, print, retry, with_progress, without_nulls};
use crate::{
    cli::{
        arguments::{ModelCommand, SearchArguments},
        client::{Client, encode, with_query},
        failure::Failure,
        format,
        output::Output,
        table::{Table, pairs},
    },
    queries::{Model, ModelDetail},
};
use serde_json::{Value, json};
use std::process::ExitCode;

pub(in crate::cli) async fn model(
    client: &Client,
    command: ModelCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        ModelCommand::Add {
            path,
            hub,
            revision,
            name,
            architecture,
            quantization,
            request,
        } => {
            let body = json!({
                "path": if hub { None } else { Some(absolute(client, &path)?) },
                "hub": hub.then(|| without_nulls(json!({ "repository": path, "revision": revision }))),
                "name": name,
                "architecture": architecture,
                "quantization": quantization,
            });
            add(client, "model", without_nulls(body), &request, output).await
        }
        ModelCommand::Ls(page) => list_models(client, &page, output).await,
        ModelCommand::Rm(arguments) => {
            crate::cli::remove::run(client, "model", arguments, output).await
        }
        ModelCommand::Show { id } => show_model(client, &id, output).await,
        ModelCommand::Retry { id, request } => retry(client, "model", &id, &request, output).await,
    }
}

/// Models, the newest first.
pub(in crate::cli) async fn list_models(
    client: &Client,
    page: &SearchArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let path = with_query("/v1/models", &[("search", page.search.clone())]);
    let models: Vec<Model> = list(client, &path, &page.page).await?;
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
            with_progress(model.status, model.progress),
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

pub(in crate::cli) async fn show_model(
    client: &Client,
    id: &str,
    output: Output,
) -> Result<ExitCode, Failure> {
    let ModelDetail { model, conversion } =
        client.get(&format!("/v1/models/{}", encode(id))).await?;
    if output.is_json() {
        output.json(&ModelDetail { model, conversion })?;
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
    let (losses, evaluated_on) = conversion.map_or_else(Default::default, |found| {
        let losses = format!(
            "loss {:.4} → {:.4}, perplexity {:.2} → {:.2}",
            found.loss_before, found.loss_after, found.perplexity_before, found.perplexity_after
        );
        let evaluated_on = format!("{} ({} tokens)", found.evaluated_on, found.tokens);
        (losses, evaluated_on)
    });
    for line in pairs(&[
        ("model", model.id),
        ("name", model.name),
        ("status", with_progress(model.status, model.progress)),
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
        ("converted", model.quantized_path.unwrap_or_default()),
        ("conversion", losses),
        ("measured on", evaluated_on),
        ("size", whole(model.disk_size_bytes)),
        ("needs memory", whole(model.memory_required_bytes)),
        ("added", format::time(model.created_at)),
    ]) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}
