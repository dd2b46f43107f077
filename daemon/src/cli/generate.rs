//! `generate`: text as it is written, plain and steered.

mod side_by_side;
mod texts;

use super::{
    arguments::generate::GenerateArguments,
    client::{Client, JobStream, encode},
    failure::Failure,
    output::Output,
    register::{Answer, without_nulls},
};
use serde_json::{Value, json};
use std::{
    io::{IsTerminal, Read},
    process::ExitCode,
};
use texts::Texts;
pub(super) use texts::printable;
use tokio::signal::unix::{SignalKind, signal};

/// What a program says that was interrupted by Ctrl-C.
const INTERRUPTED: u8 = 130;

pub(super) async fn generate(
    client: &Client,
    arguments: GenerateArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    // Heard from the beginning, so that no job is left behind.
    let mut interrupts = signal(SignalKind::interrupt()).map_err(|error| {
        Failure::failed("signals", format!("cannot listen for Ctrl-C: {error}"))
    })?;
    let key = arguments.idempotency_key.clone();
    let body = body(arguments)?;
    let answer: Answer = client
        .post("/v1/generations", Some(body), key.as_deref())
        .await?;
    output.remark(format!("{}; Ctrl-C ends it", answer.id));
    let mut stream = JobStream::open(client, &answer.id).await?;
    let mut texts = Texts::new(output);
    let mut interrupted = false;
    let job = loop {
        let event = tokio::select! {
            event = stream.next() => event?,
            _ = interrupts.recv() => {
                if interrupted {
                    return Ok(ExitCode::from(INTERRUPTED));
                }
                interrupted = true;
                cancel(client, &answer.id, output).await?;
                continue;
            }
        };
        if event["event"] == "end" {
            break event;
        }
        texts.hear(&event);
    };
    texts.end();
    conclude(&job, interrupted, output)
}

/// Asks the job to end. It may just have ended by itself.
async fn cancel(client: &Client, id: &str, output: Output) -> Result<(), Failure> {
    let path = format!("/v1/jobs/{}/cancel", encode(id));
    match client.post::<Answer>(&path, None, None).await {
        Ok(_) => output.remark("\nasked to end; Ctrl-C again leaves it alone"),
        Err(failure) if failure.code == "not_allowed" => {}
        Err(failure) => return Err(failure),
    }
    Ok(())
}

fn conclude(job: &Value, interrupted: bool, output: Output) -> Result<ExitCode, Failure> {
    let text = |name: &str| job[name].as_str().unwrap_or_default().to_owned();
    if output.is_json() {
        let mut job = job.clone();
        if let Value::Object(fields) = &mut job {
            fields.remove("event");
        }
        output.json(&job)?;
    }
    match job["status"].as_str() {
        Some("completed") => {
            if !output.is_json() {
                side_by_side::show(&job["text"], output);
            }
            Ok(ExitCode::SUCCESS)
        }
        Some("cancelled") if interrupted => Ok(ExitCode::from(INTERRUPTED)),
        Some("cancelled") => Err(Failure::failed(
            "job_cancelled",
            format!("{} was cancelled", text("id")),
        )),
        _ => Err(Failure::failed(
            &text("error_code"),
            format!("{}: {}", text("id"), text("error_message")),
        )),
    }
}

fn body(arguments: GenerateArguments) -> Result<Value, Failure> {
    let prompt = if arguments.prompt == "-" {
        from_standard_input()?
    } else {
        arguments.prompt
    };
    let by_id = arguments
        .features
        .iter()
        .map(|(id, coefficient)| json!({ "feature_id": id, "coefficient": coefficient }));
    let by_latent = arguments
        .latents
        .iter()
        .map(|(latent, coefficient)| json!({ "neuron_index": latent, "coefficient": coefficient }));
    Ok(without_nulls(json!({
        "prompt": prompt,
        "model": arguments.model,
        "preset": arguments.preset,
        "training": arguments.training,
        "features": by_id.chain(by_latent).collect::<Vec<_>>(),
        "layer": arguments.layer,
        "chat": arguments.chat,
        "placement": arguments.placement.body(),
        "sampling": without_nulls(json!({
            "maxNewTokens": arguments.max_tokens,
            "temperature": arguments.temperature,
            "topP": arguments.top_p,
            "topK": arguments.top_k,
            "repetitionPenalty": arguments.repetition_penalty,
            "seed": arguments.seed,
        })),
    })))
}

fn from_standard_input() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage(
            "prompt",
            "the prompt - is read from standard input, which is a terminal; pipe it in, or write it as the argument",
        ));
    }
    let mut prompt = String::new();
    // One byte more than a prompt may have, so that the daemon refuses what is too long.
    stdin
        .take(trainmaster_domain::job::MAX_PROMPT_BYTES as u64 + 1)
        .read_to_string(&mut prompt)
        .map_err(|error| {
            Failure::usage("prompt", format!("standard input cannot be read: {error}"))
        })?;
    Ok(prompt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn asked(arguments: &[&str]) -> Value {
        let all = ["trainmaster", "generate"].iter().chain(arguments);
        let Command::Generate(arguments) = Cli::try_parse_from(all).unwrap().command else {
            unreachable!()
        };
        body(*arguments).unwrap()
    }

    #[test]
    fn what_is_said_is_what_is_asked_and_nothing_else() {
        assert_eq!(
            asked(&["Once", "--model=m"]),
            json!({ "prompt": "Once", "model": "m", "features": [], "chat": false, "sampling": {} })
        );
        assert_eq!(
            asked(&[
                "--training=tr_1",
                "--feature",
                "42=2.5",
                "--feature=7=-300",
                "--latent",
                "3=1",
                "--layer=4",
                "--chat",
                "--max-tokens=5",
                "--temperature=0",
                "--top-p=0.9",
                "--top-k=40",
                "--repetition-penalty=1.1",
                "--seed=1",
                "Once",
            ]),
            json!({
                "prompt": "Once", "training": "tr_1", "layer": 4, "chat": true,
                "features": [
                    { "feature_id": 42, "coefficient": 2.5 },
                    { "feature_id": 7, "coefficient": -300.0 },
                    { "neuron_index": 3, "coefficient": 1.0 },
                ],
                "sampling": {
                    "maxNewTokens": 5, "temperature": 0.0, "topP": 0.9, "topK": 40, "repetitionPenalty": 1.1, "seed": 1,
                },
            })
        );
    }

    #[test]
    fn what_does_not_go_together_is_not_understood() {
        for arguments in [
            ["generate", "x", "--feature", "42"],
            ["generate", "x", "--feature", "42=2"],
            ["generate", "x", "--training=t", "--feature=a=1"],
            ["generate", "x", "--training=t", "--feature=1=inf"],
            ["generate", "x", "--training=t", "--preset=p"],
        ] {
            let all = ["trainmaster"].iter().chain(&arguments);
            assert!(Cli::try_parse_from(all).is_err(), "{arguments:?}");
        }
    }
}
