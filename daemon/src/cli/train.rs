//! `train`: hyperparameters from a file, from flags and one by one, in this order; later wins.

use super::{
    arguments::TrainArguments,
    client::Client,
    failure::Failure,
    output::Output,
    register::{Answer, without_nulls},
    watch,
};
use serde_json::{Map, Value, json};
use std::{path::Path, process::ExitCode};

pub(super) async fn train(
    client: &Client,
    arguments: TrainArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let body = without_nulls(json!({
        "template": arguments.template,
        "model": arguments.model,
        "dataset": arguments.dataset,
        "encoder_type": arguments.encoder_type,
        "hyperparameters": hyperparameters(&arguments)?,
        "placement": arguments.placement.body(),
    }));
    let answer: Answer = client
        .post(
            "/v1/trainings",
            Some(body),
            arguments.idempotency_key.as_deref(),
        )
        .await?;
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    if arguments.watch {
        watch::watch(client, &answer.id, answer.position.as_deref(), output).await
    } else {
        Ok(ExitCode::SUCCESS)
    }
}

fn hyperparameters(arguments: &TrainArguments) -> Result<Map<String, Value>, Failure> {
    let flags = without_nulls(json!({
        "layer": arguments.layer,
        "hook": arguments.hook,
        "trainingSteps": arguments.steps,
        "batchSize": arguments.batch_size,
        "learningRate": arguments.learning_rate,
        "l1Coefficient": arguments.l1,
        "topK": arguments.top_k,
        "expansionFactor": arguments.expansion,
        "seed": arguments.seed,
        "checkpointInterval": arguments.checkpoint_interval,
        "logInterval": arguments.log_interval,
    }));
    assigned(
        arguments.hyperparameters.as_deref(),
        Some(flags),
        &arguments.set,
    )
}

/// Those of a file, those of flags, and those that are set one by one.
pub(super) fn assigned(
    file: Option<&Path>,
    flags: Option<Value>,
    set: &[(String, String)],
) -> Result<Map<String, Value>, Failure> {
    let mut all = match file {
        None => Map::new(),
        Some(path) => {
            let unusable = |problem: String| {
                Failure::usage(
                    "hyperparameters_file",
                    format!(
                        "the hyperparameters in {} cannot be read: {problem}",
                        path.display()
                    ),
                )
            };
            let text =
                std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
            serde_json::from_str(&text).map_err(|error| {
                unusable(format!(
                    "{error}; it must hold a JSON object such as {{\"learningRate\": 0.001}}"
                ))
            })?
        }
    };
    if let Some(Value::Object(flags)) = flags {
        all.extend(flags);
    }
    for (name, value) in set {
        // What is not JSON is text: optimizer=AdamW.
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.clone()));
        all.insert(name.clone(), value);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    #[test]
    fn what_is_said_last_and_closest_wins() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"layer": 1, "seed": 1, "batchSize": 8}"#).unwrap();
        let cli = Cli::try_parse_from([
            "trainmaster",
            "train",
            "--model=m",
            "--dataset=d",
            "--hyperparameters",
            file.path().to_str().unwrap(),
            "--layer=2",
            "--steps=9",
            "--set",
            "layer=3",
            "--set=optimizer=SGD",
            "--set=ghostGradPenalty=true",
        ])
        .unwrap();
        let Command::Train(arguments) = cli.command else {
            unreachable!()
        };
        assert_eq!(
            Value::Object(hyperparameters(&arguments).unwrap()),
            json!({
                "layer": 3, "seed": 1, "batchSize": 8, "trainingSteps": 9, "optimizer": "SGD", "ghostGradPenalty": true
            })
        );
    }
}
