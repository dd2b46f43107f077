//! `watch`: a training as it goes, with a progress bar where there is a terminal.

mod progress;
mod watched;

use super::{
    client::{Client, EventStream},
    failure::{Exit, Failure},
    format,
    output::Output,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use progress::Progress;
use serde_json::{Value, json};
use std::{process::ExitCode, time::Duration};
use tokio::time::timeout;
use watched::Watched;

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
        Watched::at(client, id, since).await?;
    }
    let mut progress = Progress::of(&Watched::at(client, id, stream.position()).await?);
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
    conclude(&Watched::at(client, id, stream.position()).await?, output)
}

/// How it ended, and the exit code of it.
fn conclude(training: &Watched, output: Output) -> Result<ExitCode, Failure> {
    let id = &training.id;
    if output.is_json() {
        output.json(&training.whole)?;
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
                let path = training.result_path.as_deref().unwrap_or("(unknown)");
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
                    _ => training
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
            return self.output.json(&progress.document());
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
    /// As JSON.
    fn document(&self) -> Value {
        let mut document = json!({
            "status": self.status,
            "step": self.step,
            "total_steps": self.total,
            "loss": self.loss,
            "seconds_left": self.seconds_left(),
        });
        let particulars = if self.of_images {
            json!({ "images_per_second": self.rate, "dice": self.dice })
        } else {
            json!({
                "tokens_per_second": self.rate,
                "sparsity": self.sparsity,
                "explained_variance": self.explained_variance,
                "dead_neurons": self.dead,
            })
        };
        if let (Value::Object(document), Value::Object(particulars)) = (&mut document, particulars)
        {
            document.extend(particulars);
        }
        document
    }

    /// What is to be said beside the bar.
    fn line(&self) -> String {
        let mut parts = Vec::new();
        if self.status != "training" {
            parts.push(self.status.clone());
        } else if let Some(asked) = &self.asked {
            parts.push(asked.clone());
        }
        if let Some(rate) = self.rate {
            let unit = if self.of_images { "images/s" } else { "tok/s" };
            parts.push(format!("{} {unit}", format::count(rate)));
        }
        if let Some(loss) = self.loss {
            parts.push(format!("loss {}", format::measure(loss)));
        }
        if let Some(l0) = self.sparsity {
            parts.push(format!("L0 {l0:.1}"));
        }
        if let Some(dice) = self.dice {
            parts.push(format!("Dice {dice:.3}"));
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
