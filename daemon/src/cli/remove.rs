//! `rm`, `model rm`, `dataset rm`: asks, unless told not to.

use super::{
    arguments::RemoveArguments,
    ask::ask,
    client::{Client, encode},
    failure::Failure,
    output::Output,
    register::Answer,
};
use hyper::Method;
use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};
use trainmaster_domain::id::TrainingId;

/// `what`: model, dataset or training.
pub(super) async fn run(
    client: &Client,
    what: &str,
    arguments: RemoveArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let id = &arguments.id;
    if !arguments.yes && !confirmed(what, id)? {
        return Err(Failure::failed("not_confirmed", format!("{id} stays")));
    }
    let answer: Answer = client
        .command(
            &Method::DELETE,
            &format!("/v1/{what}s/{}", encode(id)),
            None,
            None,
        )
        .await?;
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    Ok(ExitCode::SUCCESS)
}

fn confirmed(what: &str, id: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(
            "not_confirmed",
            format!("nobody is there to ask whether {what} {id} is to be deleted; say --yes"),
        ));
    }
    let also = match what {
        "training" if TrainingId::is_segmentation(id) => " with its checkpoints and model",
        "training" => " with its checkpoints, autoencoder, features and presets",
        _ => "",
    };
    let answer = ask(&format!(
        "Delete {what} {id}{also}? It cannot be undone. [y/N] "
    ))?;
    Ok(["y", "yes"].contains(&answer.to_ascii_lowercase().as_str()))
}
