//! `extract`: queues an extraction and, if asked, follows it to its end.

use super::{
    arguments::ExtractArguments,
    client::{Client, EventStream, StreamEvent, encode},
    failure::{Exit, Failure},
    output::Output,
    register::{Answer, without_nulls},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::{process::ExitCode, time::Duration};
use tokio::time::timeout;

/// A failed attempt is followed by the next one's announcement in the same moment, if there is a next one.
const AFTER_FAILURE: Duration = Duration::from_millis(700);

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
            let position = follow(client, &answer, output).await?;
            shown(client, &position).await
        };
        timeout(limit, done).await.unwrap_or_else(|_| {
            Err(Failure::new(
                Exit::TimedOut,
                "wait_timed_out",
                format!(
                    "extraction {} is not completed after {} seconds; it goes on all the same",
                    answer.id,
                    limit.as_secs()
                ),
            ))
        })?;
    }
    if output.is_json() {
        output.json(&answer)?;
    } else {
        output.line(&answer.id);
    }
    Ok(ExitCode::SUCCESS)
}

/// What an event of a job means to whoever waits for it.
enum News {
    /// It goes on; perhaps so far.
    Going(Option<(String, f64)>),
    /// It is done.
    Done,
    /// It has come to nothing, unless it is tried again.
    Failed(Failure),
}

fn news(id: &str, event: &StreamEvent) -> News {
    let text = |name: &str| {
        let text = event.payload.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    match event.kind.as_str() {
        "JobCompleted" => News::Done,
        "JobCancelled" => News::Failed(Failure::failed(
            "job_cancelled",
            format!("extraction {id} was cancelled"),
        )),
        "JobFailed" => News::Failed(Failure::failed(
            &text("code"),
            format!("extraction {id}: {}", text("message")),
        )),
        "JobProgressed" => {
            let percent = event.payload.get("percent").and_then(Value::as_f64);
            News::Going(Some((text("stage"), percent.unwrap_or(0.0))))
        }
        _ => News::Going(None),
    }
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

/// Follows the job to its end, and answers where in the log that is.
async fn follow(client: &Client, answer: &Answer, output: Output) -> Result<String, Failure> {
    let filters = [
        ("category", Some("job".to_owned())),
        ("stream", Some(answer.id.clone())),
    ];
    // From its beginning, which may be long ago where the request was repeated.
    let mut stream = EventStream::open(client, &filters, Some("0-0")).await?;
    let bar = output.is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {pos}% {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.with_style(style)
    });
    let mut failed: Option<Failure> = None;
    loop {
        let event = match failed.take() {
            None => stream.next().await?,
            Some(failure) => match timeout(AFTER_FAILURE, stream.next()).await {
                Ok(event) => event?,
                Err(_) => return Err(failure),
            },
        };
        match (news(&answer.id, &event), &bar) {
            (News::Going(None), _) => {}
            (News::Going(Some((stage, percent))), Some(bar)) => {
                bar.set_position(percent as u64);
                bar.set_message(stage);
            }
            (News::Going(Some((stage, percent))), None) => {
                output.remark(format!("{}: {stage} {percent:.0}%", answer.id));
            }
            (News::Failed(failure), _) => failed = Some(failure),
            (News::Done, bar) => {
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
                return Ok(stream.position().to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_extraction_is_told_from_its_middle() {
        let event = |kind: &str, payload: Value| -> StreamEvent {
            serde_json::from_value(json!({ "position": "1-1", "type": kind, "payload": payload }))
                .unwrap()
        };
        assert!(matches!(
            news("job_1", &event("JobProgressed", json!({ "stage": "extracting", "percent": 41.5 }))),
            News::Going(Some((stage, percent))) if stage == "extracting" && percent == 41.5
        ));
        assert!(matches!(
            news("job_1", &event("ActivationsAttached", json!({}))),
            News::Going(None)
        ));
        assert!(matches!(
            news("job_1", &event("JobCompleted", json!({ "lease": 1 }))),
            News::Done
        ));
        let failed = event(
            "JobFailed",
            json!({ "code": "disk_full", "message": "no space" }),
        );
        assert!(matches!(
            news("job_1", &failed),
            News::Failed(failure) if failure.code == "disk_full" && failure.detail.contains("no space")
        ));
    }
}
