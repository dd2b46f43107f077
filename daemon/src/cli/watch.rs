//! `watch`: a training as it goes, with a progress bar where there is a terminal.

mod progress;

use super::{
    client::{Client, EventStream, encode},
    failure::{Exit, Failure},
    format,
    output::Output,
};
use crate::queries::TrainingDetail;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use progress::Progress;
use serde_json::json;
use std::{process::ExitCode, time::Duration};
use tokio::time::timeout;

/// A failed attempt is followed by the next one's announcement in the same moment, if there is a next one.
const AFTER_FAILURE: Duration = Duration::from_millis(700);

/// Follows a training that is there since the position `since`, if that is known.
pub(super) async fn watch(
    client: &Client,
    id: &str,
    since: Option<&str>,
    output: Output,
) -> Result<ExitCode, Failure> {
    // First the stream, then the state at its beginning: nothing is lost between the two.
    let filters = [
        ("category", Some("training".to_owned())),
        ("stream", Some(id.to_owned())),
    ];
    let mut stream = EventStream::open(client, &filters, None).await?;
    if let Some(since) = since {
        detail(client, id, since).await?;
    }
    let detail = detail(client, id, stream.position()).await?;
    let mut progress = Progress::of(&detail);
    let view = View::new(output, &progress);
    view.show(&progress)?;
    loop {
        let event = if progress.is_at_rest() {
            // Another attempt is announced with the failure itself.
            let patience = if progress.has_failed() {
                AFTER_FAILURE
            } else {
                Duration::ZERO
            };
            match timeout(patience, stream.next()).await {
                Ok(event) => event?,
                Err(_) => break,
            }
        } else {
            stream.next().await?
        };
        if let Some(said) = progress.apply(&event) {
            view.say(&said);
        }
        view.show(&progress)?;
    }
    view.end();
    let detail = self::detail(client, id, stream.position()).await?;
    conclude(&detail, output)
}

async fn detail(client: &Client, id: &str, at_least: &str) -> Result<TrainingDetail, Failure> {
    client
        .get(&format!("/v1/trainings/{}?at_least={at_least}", encode(id)))
        .await
}

/// How it ended, and the exit code of it.
fn conclude(detail: &TrainingDetail, output: Output) -> Result<ExitCode, Failure> {
    let training = &detail.training;
    let id = &training.id;
    if output.is_json() {
        output.json(detail)?;
    }
    let error = || {
        training
            .error_message
            .clone()
            .unwrap_or_else(|| "no reason was given; look at its events".to_owned())
    };
    match training.status.as_str() {
        "completed" => {
            if !output.is_json() {
                let path = detail.result_path.as_deref().unwrap_or("(unknown)");
                output.line(format!("{id} completed: {path}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        "failed" | "error" => Err(Failure::failed(
            training.error_code.as_deref().unwrap_or("training_failed"),
            format!("{id}: {}", error()),
        )),
        status => {
            if !output.is_json() {
                let next = match status {
                    "paused" => format!("; `trainmaster resume {id}` lets it go on"),
                    _ => detail
                        .result_path
                        .as_ref()
                        .map_or_else(String::new, |path| format!(": {path}")),
                };
                output.line(format!(
                    "{id} {status} at step {} of {}{next}",
                    training.current_step, training.total_steps
                ));
            }
            Ok(ExitCode::from(Exit::AtRest as u8))
        }
    }
}

/// Where progress is seen.
struct View {
    output: Output,
    bar: Option<ProgressBar>,
}

impl View {
    fn new(output: Output, progress: &Progress) -> Self {
        let bar = output.is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(Some(progress.total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            bar.set_style(style);
            bar
        });
        Self { output, bar }
    }

    fn show(&self, progress: &Progress) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_length(progress.total);
            bar.set_position(progress.step);
            bar.set_message(progress.line());
            return Ok(());
        }
        if self.output.is_json() {
            return self.output.json(&json!({
                "status": progress.status,
                "step": progress.step,
                "total_steps": progress.total,
                "tokens_per_second": progress.tokens_per_second,
                "loss": progress.loss,
                "sparsity": progress.sparsity,
                "explained_variance": progress.explained_variance,
                "dead_neurons": progress.dead,
                "seconds_left": progress.seconds_left(),
            }));
        }
        self.output.remark(format!(
            "{:>width$}/{} {}",
            progress.step,
            progress.total,
            progress.line(),
            width = progress.total.to_string().len()
        ));
        Ok(())
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.output.remark(text),
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

impl Progress {
    /// What is to be said beside the bar.
    fn line(&self) -> String {
        let mut parts = Vec::new();
        if self.status != "training" {
            parts.push(self.status.clone());
        } else if let Some(asked) = &self.asked {
            parts.push(asked.clone());
        }
        if let Some(rate) = self.tokens_per_second {
            parts.push(format!("{} tok/s", format::count(rate)));
        }
        if let Some(loss) = self.loss {
            parts.push(format!("loss {}", format::measure(loss)));
        }
        if let Some(l0) = self.sparsity {
            parts.push(format!("L0 {l0:.1}"));
        }
        if let Some(explained) = self.explained_variance {
            parts.push(format!("EV {explained:.3}"));
        }
        if let Some(dead) = self.dead {
            parts.push(format!("dead {}", format::whole(dead)));
        }
        if let Some(seconds) = self.seconds_left() {
            parts.push(format!("{} left", format::seconds(seconds)));
        }
        parts.join("  ")
    }
}
