//! A job as it goes, to its end, with a progress bar where there is a terminal.

use crate::cli::{
    client::{Client, EventStream, StreamEvent},
    failure::{Exit, Failure},
    output::Output,
    register::Answer,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// A failed attempt is followed by the next one's announcement in the same moment, if there is a next one.
const AFTER_FAILURE: Duration = Duration::from_millis(700);

/// Waits until a job is done, `limit` at most, and answers where in the log that is. `noun` is what to call it.
pub(in crate::cli) async fn until_done(
    client: &Client,
    noun: &str,
    answer: &Answer,
    limit: Duration,
    output: Output,
) -> Result<String, Failure> {
    timeout(limit, follow(client, noun, answer, output))
        .await
        .unwrap_or_else(|_| Err(too_long(noun, &answer.id, limit)))
}

/// It takes longer than was to be waited.
pub(in crate::cli) fn too_long(noun: &str, id: &str, limit: Duration) -> Failure {
    Failure::new(
        Exit::TimedOut,
        "wait_timed_out",
        format!(
            "{noun} {id} is not completed after {} seconds; it goes on all the same",
            limit.as_secs()
        ),
    )
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

fn news(noun: &str, id: &str, event: &StreamEvent) -> News {
    let text = |name: &str| {
        let text = event.payload.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    match event.kind.as_str() {
        "JobCompleted" => News::Done,
        "JobCancelled" => News::Failed(Failure::failed(
            "job_cancelled",
            format!("{noun} {id} was cancelled"),
        )),
        "JobFailed" => News::Failed(Failure::failed(
            &text("code"),
            format!("{noun} {id}: {}", text("message")),
        )),
        "JobProgressed" => {
            let percent = event.payload.get("percent").and_then(Value::as_f64);
            News::Going(Some((text("stage"), percent.unwrap_or(0.0))))
        }
        _ => News::Going(None),
    }
}

/// Follows the job to its end, and answers where in the log that is.
async fn follow(
    client: &Client,
    noun: &str,
    answer: &Answer,
    output: Output,
) -> Result<String, Failure> {
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
        match (news(noun, &answer.id, &event), &bar) {
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
    use serde_json::json;

    #[test]
    fn the_end_of_a_job_is_told_from_its_middle() {
        let event = |kind: &str, payload: Value| -> StreamEvent {
            serde_json::from_value(json!({ "position": "1-1", "type": kind, "payload": payload }))
                .unwrap()
        };
        assert!(matches!(
            news("extraction", "job_1", &event("JobProgressed", json!({ "stage": "extracting", "percent": 41.5 }))),
            News::Going(Some((stage, percent))) if stage == "extracting" && percent == 41.5
        ));
        assert!(matches!(
            news(
                "extraction",
                "job_1",
                &event("ActivationsAttached", json!({}))
            ),
            News::Going(None)
        ));
        assert!(matches!(
            news(
                "extraction",
                "job_1",
                &event("JobCompleted", json!({ "lease": 1 }))
            ),
            News::Done
        ));
        let failed = event(
            "JobFailed",
            json!({ "code": "disk_full", "message": "no space" }),
        );
        assert!(matches!(
            news("extraction", "job_1", &failed),
            News::Failed(failure) if failure.code == "disk_full" && failure.detail.contains("no space")
        ));
    }
}
