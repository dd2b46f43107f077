//! `slurm`: the clusters, the jobs that runs became there, and one of them with its script.

use super::{
    arguments::slurm::{SlurmArguments, SlurmCommand},
    client::{Client, encode, with_query},
    failure::{Exit, Failure},
    format,
    output::Output,
    register,
    table::{Table, pairs},
};
use crate::{
    http::{Cluster, Segmentation, SlurmJobDetail},
    queries::{Page, SlurmJobSummary},
};
use serde_json::json;
use std::process::ExitCode;
use trainmaster_domain::slurm::Placement;

pub(super) async fn run(
    client: &Client,
    arguments: SlurmArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(SlurmCommand::Show { id }) => show(client, &id, output).await,
        None => list(client, arguments, output).await,
    }
}

async fn list(
    client: &Client,
    arguments: SlurmArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let clusters: Vec<Cluster> = client.get("/v1/slurm/clusters").await?;
    let path = with_query(
        "/v1/slurm/jobs",
        &[("cluster", arguments.cluster), ("run", arguments.run)],
    );
    let jobs: Vec<SlurmJobSummary> = register::list(client, &path, &arguments.page).await?;
    if output.is_json() {
        output.json(&json!({ "clusters": clusters, "jobs": jobs }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if clusters.is_empty() {
        output.remark(
            "no cluster is configured; `trainmaster config example` shows how to (section slurm)",
        );
    }
    for cluster in &clusters {
        let answer = match &cluster.problem {
            None => "answers".to_owned(),
            Some(problem) => format!("does not answer: {}", problem.replace('\n', " ")),
        };
        output.line(format!("cluster {} {answer}", cluster.name));
    }
    let mut table = Table::new(&[
        "SLURM",
        "CLUSTER",
        "RUN",
        ">FOLD",
        "STATE",
        ">REQUEUED",
        "SUBMITTED",
        "STARTED",
        "ENDED",
    ]);
    let time = |at: Option<_>| at.map_or_else(|| "-".to_owned(), format::time);
    for job in jobs {
        table.row(vec![
            job.sbatch_id.clone().unwrap_or_else(|| "-".to_owned()),
            job.cluster.clone(),
            job.run.clone(),
            job.fold_index.to_string(),
            state(&job),
            job.restarts.to_string(),
            time(job.submitted_at),
            time(job.started_at),
            time(job.ended_at),
        ]);
    }
    register::print(
        &table,
        "no jobs; `--on CLUSTER` of train, segment, predict, extract and generate makes some",
        output,
    );
    Ok(ExitCode::SUCCESS)
}

/// What is known of its state: SLURM's own word where it is not known what that means.
fn state(job: &SlurmJobSummary) -> String {
    match (&job.slurm_state, job.cancel_requested) {
        (Some(unknown), _) => format!("{} ({unknown})", job.status),
        (None, true) if ["intended", "pending", "running"].contains(&job.status.as_str()) => {
            format!("{}, asked to end", job.status)
        }
        (None, _) => job.status.clone(),
    }
}

async fn show(client: &Client, id: &str, output: Output) -> Result<ExitCode, Failure> {
    let detail: SlurmJobDetail = match client.get(&job_path(id)).await {
        Err(failure) if failure.exit == Exit::NotFound => {
            // The id of a run is as good: its newest job is meant.
            let path = with_query(
                "/v1/slurm/jobs",
                &[
                    ("run", Some(id.to_owned())),
                    ("limit", Some("1".to_owned())),
                ],
            );
            let page: Page<SlurmJobSummary> = client.get(&path).await?;
            let Some(job) = page.items.first() else {
                return Err(failure);
            };
            client.get(&job_path(&job.id)).await?
        }
        found => found?,
    };
    if output.is_json() {
        output.json(&detail)?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in pairs(&lines(&detail)) {
        output.line(line);
    }
    output.line("");
    output.line(detail.script.trim_end());
    Ok(ExitCode::SUCCESS)
}

fn job_path(id: &str) -> String {
    format!("/v1/slurm/jobs/{}", encode(id))
}

fn lines(detail: &SlurmJobDetail) -> Vec<(&'static str, String)> {
    let job = &detail.job;
    let time = |at: Option<_>| at.map_or_else(String::new, format::time);
    vec![
        ("id", job.id.clone()),
        ("SLURM job", job.sbatch_id.clone().unwrap_or_default()),
        ("cluster", job.cluster.clone()),
        ("state", state(job)),
        ("message", job.message.clone().unwrap_or_default()),
        ("run", format!("{} {}", job.run_category, job.run)),
        ("fold", job.fold_index.to_string()),
        ("submission", job.submission_id.clone()),
        ("lease", job.lease.to_string()),
        ("put back", job.restarts.to_string()),
        ("output", detail.output_dir.clone().unwrap_or_default()),
        ("intended", format::time(job.created_at)),
        ("submitted", time(job.submitted_at)),
        ("started", time(job.started_at)),
        ("ended", time(job.ended_at)),
    ]
}

/// A SLURM job in a few words; nothing, where there is none.
pub(super) fn in_words(job: Option<&SlurmJobSummary>) -> String {
    let Some(job) = job else {
        return String::new();
    };
    let id = match &job.sbatch_id {
        Some(sbatch_id) => format!("{sbatch_id} on {}", job.cluster),
        None => format!("not submitted yet, to {}", job.cluster),
    };
    let message = job
        .message
        .as_ref()
        .map_or_else(String::new, |message| format!(": {message}"));
    let restarts = match job.restarts {
        0 => String::new(),
        1 => ", put back once".to_owned(),
        times => format!(", put back {times} times"),
    };
    format!("{id}, {}{restarts}{message}", state(job))
}

/// A placement in a few words; nothing, where there is none.
pub(super) fn placed(placement: Option<&Placement>) -> String {
    let Some(placement) = placement else {
        return String::new();
    };
    let asked = serde_json::to_value(&placement.resources).unwrap_or_default();
    let asked: Vec<String> = asked
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={}", value.to_string().trim_matches('"')))
        .collect();
    if asked.is_empty() {
        placement.cluster.clone()
    } else {
        format!("{} ({})", placement.cluster, asked.join(", "))
    }
}

/// What a table says of where a segmentation is.
pub(super) fn short(found: &Segmentation) -> String {
    match (&found.slurm_job, &found.placement) {
        (Some(job), _) => match &job.sbatch_id {
            Some(sbatch_id) => format!("{sbatch_id} {}", state(job)),
            None => state(job),
        },
        (None, Some(placement)) => placement.cluster.clone(),
        (None, None) => "-".to_owned(),
    }
}
