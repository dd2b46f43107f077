//! `segment`: a network that segments images is to be trained, or one for each fold of a cross-validation.

use super::{
    arguments::images::SegmentArguments,
    client::Client,
    cross_validation,
    failure::Failure,
    jobs::follow::too_long,
    output::Output,
    register::{Answer, absolute, without_nulls},
    train::assigned,
    watch,
};
use serde_json::{Value, json};
use std::{process::ExitCode, time::Duration};
use tokio::time::timeout;

pub(super) async fn segment(
    client: &Client,
    arguments: SegmentArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let body = body(client, &arguments)?;
    let route = match arguments.folds {
        None => "/v1/segmentations",
        Some(_) => "/v1/cross-validations",
    };
    let request = arguments.request;
    let answer: Answer = client
        .post(route, Some(body), request.idempotency_key.as_deref())
        .await?;
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    if !request.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let limit = Duration::from_secs(request.timeout);
    if arguments.folds.is_some() {
        return cross_validation::wait(client, &answer.id, limit, output).await;
    }
    let watched = watch::watch(client, &answer.id, answer.position.as_deref(), output);
    timeout(limit, watched)
        .await
        .unwrap_or_else(|_| Err(too_long("training", &answer.id, limit)))
}

fn body(client: &Client, arguments: &SegmentArguments) -> Result<Value, Failure> {
    let flags = without_nulls(json!({
        "trainingSteps": arguments.steps,
        "batchSize": arguments.batch_size,
        "patchSize": arguments.patch_size,
        "classes": arguments.classes,
        "baseChannels": arguments.base_channels,
        "depth": arguments.depth,
        "learningRate": arguments.learning_rate,
        "heldOut": arguments.held_out,
        "augment": arguments.no_augmentation.then_some(false),
        "seed": arguments.seed,
        "checkpointInterval": arguments.checkpoint_interval,
        "logInterval": arguments.log_interval,
    }));
    let settings = assigned(arguments.settings.as_deref(), Some(flags), &arguments.set)?;
    Ok(without_nulls(json!({
        "images": absolute(client, &arguments.images)?,
        "labels": absolute(client, &arguments.labels)?,
        "name": arguments.name,
        "folds": arguments.folds,
        "settings": settings,
        "placement": arguments.placement.body(),
    })))
}
