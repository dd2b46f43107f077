//! `extract`: queues an extraction and, if asked, follows it to its end.

use super::{
    arguments::ExtractArguments,
    client::{Client, encode},
    failure::Failure,
    jobs::follow::{too_long, until_done},
    output::Output,
    register::{Answer, without_nulls},
};
use serde_json::{Value, json};
use std::{process::ExitCode, time::Duration};
use tokio::time::timeout;

pub(super) async fn extract(
    client: &Client,
    arguments: ExtractArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let some = |values: Value| match values.as_array() {
        Some(array) if array.is_empty() => Value::Null,
        _ => values,
    };
    let body = without_nulls(json!({
        "training": arguments.training,
        "dataset": arguments.dataset,
        "template": arguments.template,
        "layers": some(json!(arguments.layers)),
        "hook_types": some(json!(arguments.hook_types)),
        "max_samples": arguments.max_samples,
        "top_k_examples": arguments.top_k_examples,
        "context_tokens": arguments.context_tokens,
        "minimum_frequency": arguments.minimum_frequency,
        "placement": arguments.placement.body(),
    }));
    let answer: Answer = client
        .post(
            "/v1/extractions",
            Some(body),
            arguments.request.idempotency_key.as_deref(),
        )
        .await?;
    if arguments.request.wait {
        let limit = Duration::from_secs(arguments.request.timeout);
        let done = async {
            let position = until_done(client, "extraction", &answer, limit, output).await?;
            shown(client, &position).await
        };
        timeout(limit, done)
            .await
            .unwrap_or_else(|_| Err(too_long("extraction", &answer.id, limit)))?;
    }
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits until reads show a position: the rows of a large extraction take a while to be there.
async fn shown(client: &Client, position: &str) -> Result<(), Failure> {
    let route = format!("/v1/trainings?limit=1&at_least={}", encode(position));
    loop {
        match client.get::<Value>(&route).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.code == "read_model_behind" => {}
            Err(failure) => return Err(failure),
        }
    }
}
