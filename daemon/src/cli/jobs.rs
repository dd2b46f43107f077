//! `job ls`, `show`, `cancel`, `retry`.

pub(super) mod follow;

use super::{
    arguments::{RequestArguments, generate::JobCommand},
    client::{Client, encode, with_query},
    failure::Failure,
    format,
    output::Output,
    predict,
    register::{self, Answer},
    slurm,
    table::{Table, pairs},
    wait::{Wanted, wait},
};
use crate::queries::{JobSummary, SlurmJobSummary};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::{process::ExitCode, time::Duration};
use trainmaster_domain::slurm::Placement;

pub(super) async fn job(
    client: &Client,
    command: JobCommand,
    output: Output,
) -> Result<ExitCode, Failure> {
    match command {
        JobCommand::Ls {
            page,
            kind,
            training,
        } => {
            let path = with_query("/v1/jobs", &[("kind", kind), ("training", training)]);
            list(register::list(client, &path, &page).await?, output)
        }
        JobCommand::Show { id } => show(client, &id, output).await,
        JobCommand::Cancel { id, request } => change(client, &id, "cancel", &request, output).await,
        JobCommand::Retry { id, request } => change(client, &id, "retry", &request, output).await,
    }
}

fn list(jobs: Vec<JobSummary>, output: Output) -> Result<ExitCode, Failure> {
    if output.is_json() {
        output.json(&jobs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["ID", "KIND", "STATUS", "ABOUT", "QUEUED"]);
    for job in jobs {
        let status = match (&job.stage, job.progress) {
            (Some(stage), Some(percent)) => format!("{stage} {percent:.0}%"),
            _ => job.status.clone(),
        };
        let about = match (&job.error_message, &job.prompt, &job.training_id) {
            (Some(error), ..) => error,
            (_, Some(prompt), _) => prompt,
            (_, _, Some(training)) => training,
            _ => "",
        };
        let about: String = about
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        table.row(vec![
            job.id,
            job.kind,
            status,
            format::short(&about, 60),
            format::time(job.created_at),
        ]);
    }
    register::print(&table, "no jobs; `trainmaster generate` makes one", output);
    Ok(ExitCode::SUCCESS)
}

/// A job, as far as it is shown.
#[derive(Deserialize)]
struct Shown {
    id: String,
    kind: String,
    status: String,
    stage: Option<String>,
    progress: Option<f64>,
    cancel_requested: bool,
    retry_count: u32,
    error_code: Option<String>,
    error_message: Option<String>,
    work: Value,
    text: Option<Value>,
    extracted: Option<Value>,
    #[serde(default)]
    predicted: Option<Value>,
    #[serde(default)]
    placement: Option<Placement>,
    #[serde(default)]
    slurm_job: Option<SlurmJobSummary>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

pub(super) async fn show(client: &Client, id: &str, output: Output) -> Result<ExitCode, Failure> {
    let job: Value = client.get(&format!("/v1/jobs/{}", encode(id))).await?;
    if output.is_json() {
        output.json(&job)?;
        return Ok(ExitCode::SUCCESS);
    }
    let job: Shown = serde_json::from_value(job).map_err(|error| {
        Failure::failed(
            "unexpected_answer",
            format!("the daemon's answer cannot be read ({error}); is it of another version?"),
        )
    })?;
    for line in pairs(&lines(&job)) {
        output.line(super::generate::printable(&line));
    }
    if let Some(predicted) = &job.predicted {
        output.line("");
        predict::summary(predicted, output);
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(job: &Shown) -> Vec<(&'static str, String)> {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let work = |name: &str| text(&job.work[name]);
    let steering = &job.work["intervention"];
    let written = |variant: &str| {
        let written = job.text.as_ref().map(|text| &text[variant]);
        written.map_or_else(String::new, |written| text(&written["text"]))
    };
    vec![
        ("id", job.id.clone()),
        ("kind", job.kind.clone()),
        (
            "status",
            if job.cancel_requested {
                format!("{}, asked to end", job.status)
            } else {
                job.status.clone()
            },
        ),
        ("stage", job.stage.clone().unwrap_or_default()),
        (
            "progress",
            job.progress
                .map_or_else(String::new, |percent| format!("{percent:.0}%")),
        ),
        (
            "retries",
            match job.retry_count {
                0 => String::new(),
                count => count.to_string(),
            },
        ),
        ("error code", job.error_code.clone().unwrap_or_default()),
        ("error", job.error_message.clone().unwrap_or_default()),
        ("model", work("model_id")),
        (
            "training",
            match text(&steering["training_id"]) {
                none if none.is_empty() => work("training_id"),
                training => training,
            },
        ),
        ("dataset", work("dataset_id")),
        ("preset", text(&steering["preset_id"])),
        ("layer", text(&steering["layer"])),
        ("features", features(&steering["features"])),
        ("sampling", work("sampling")),
        ("prompt", work("prompt")),
        ("plain", written("plain")),
        ("steered", written("steered")),
        (
            "artifact",
            job.extracted
                .as_ref()
                .map_or_else(String::new, |found| text(&found["artifact"]["path"])),
        ),
        ("images", text(&job.work["input"]["images"])),
        ("output", work("output_dir")),
        ("on", slurm::placed(job.placement.as_ref())),
        ("SLURM job", slurm::in_words(job.slurm_job.as_ref())),
        ("queued", format::time(job.created_at)),
        ("last heard of", format::time(job.updated_at)),
    ]
}

fn features(features: &Value) -> String {
    let features = features.as_array().map(Vec::as_slice).unwrap_or_default();
    let each: Vec<String> = features
        .iter()
        .map(|feature| format!("{}={}", feature["feature_id"], feature["coefficient"]))
        .collect();
    each.join(" ")
}

async fn change(
    client: &Client,
    id: &str,
    verb: &str,
    request: &RequestArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let answer: Answer = client
        .post(
            &format!("/v1/jobs/{}/{verb}", encode(id)),
            None,
            request.idempotency_key.as_deref(),
        )
        .await?;
    if request.wait {
        let (good, bad): (&[&str], &[&str]) = match verb {
            "cancel" => (&["cancelled"], &["completed", "failed"]),
            _ => (&["completed"], &["failed", "cancelled"]),
        };
        let wanted = Wanted {
            category: "job",
            id,
            good,
            bad,
            since: answer.position.as_deref(),
            limit: Duration::from_secs(request.timeout),
        };
        wait(client, wanted, output).await?;
    }
    if output.is_json() {
        output.json(&answer)?;
    } else if !request.wait {
        output.line(match (answer.events.is_empty(), verb) {
            (true, _) => format!("{id}: nothing to do, it has been asked already"),
            (_, "cancel") => format!("{id}: will end"),
            _ => format!("{id}: will be tried again"),
        });
    }
    Ok(ExitCode::SUCCESS)
}
