//! `pause`, `resume`, `stop`, `retry` of a training.

use super::{
    arguments::StateChangeArguments,
    client::{Client, encode},
    failure::Failure,
    output::Output,
    register::Answer,
    wait::{Wanted, wait},
};
use std::{process::ExitCode, time::Duration};

pub(super) async fn run(
    client: &Client,
    verb: &str,
    arguments: StateChangeArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let id = &arguments.id;
    let answer: Answer = client
        .post(
            &format!("/v1/trainings/{}/{verb}", encode(id)),
            None,
            arguments.request.idempotency_key.as_deref(),
        )
        .await?;
    let (good, bad): (&[&str], &[&str]) = match verb {
        "pause" => (&["paused"], &["stopped", "completed", "failed", "error"]),
        "stop" => (&["stopped"], &["completed", "failed", "error"]),
        _ => (
            &["training", "completed"],
            &["paused", "stopped", "failed", "error"],
        ),
    };
    if arguments.request.wait {
        let wanted = Wanted {
            category: "training",
            id,
            good,
            bad,
            since: answer.position.as_deref(),
            limit: Duration::from_secs(arguments.request.timeout),
        };
        wait(client, wanted, output).await?;
    }
    if output.is_json() {
        output.json(&answer)?;
    } else if !arguments.request.wait {
        let said = match (answer.events.is_empty(), verb) {
            (true, _) => format!("{id}: nothing to do, it has been asked already"),
            (_, "pause") => format!("{id}: will rest at a checkpoint"),
            (_, "stop") => format!("{id}: will stop, what it has learnt is kept"),
            (_, "resume") => format!("{id}: will go on"),
            _ => format!("{id}: will be tried again"),
        };
        output.line(said);
    }
    Ok(ExitCode::SUCCESS)
}
