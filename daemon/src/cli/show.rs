//! `ls` and `show`.

use super::{
    arguments::ListArguments,
    client::{Client, encode, with_query},
    cross_validation,
    failure::Failure,
    format, jobs,
    output::Output,
    register, segmentations, slurm,
    table::{Table, pairs},
};
use crate::queries::{Training, TrainingDetail};
use serde_json::Value;
use std::process::ExitCode;
use trainmaster_domain::{
    hyperparameters::Hook,
    id::{CrossValidationId, DatasetId, JobId, ModelId, TrainingId},
    run::journal::EvaluatedSite,
};

pub(super) async fn list(
    client: &Client,
    arguments: ListArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    let path = with_query(
        "/v1/trainings",
        &[("model", arguments.model), ("dataset", arguments.dataset)],
    );
    let trainings: Vec<Training> = register::list(client, &path, &arguments.page).await?;
    if output.is_json() {
        output.json(&trainings)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        "ID", "STATUS", ">STEP", ">OF", ">LOSS", ">L0", "MODEL", "DATASET", "QUEUED",
    ]);
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), format::measure);
    for training in trainings {
        table.row(vec![
            training.id,
            training.status,
            training.current_step.to_string(),
            training.total_steps.to_string(),
            number(training.latest_loss),
            number(training.latest_sparsity),
            format::short(&training.model_name.unwrap_or(training.model_id), 32),
            format::short(&training.dataset_name.unwrap_or(training.dataset_id), 32),
            format::time(training.created_at),
        ]);
    }
    register::print(
        &table,
        "no trainings; queue one with `trainmaster train --model MODEL --dataset DATASET`",
        output,
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(client: &Client, id: &str, output: Output) -> Result<ExitCode, Failure> {
    if id.starts_with(ModelId::PREFIX) {
        return register::show_model(client, id, output).await;
    }
    if id.starts_with(DatasetId::PREFIX) {
        return register::show_dataset(client, id, output).await;
    }
    if TrainingId::is_segmentation(id) {
        return segmentations::show(client, id, output).await;
    }
    if id.starts_with(CrossValidationId::PREFIX) {
        return cross_validation::show(client, id, output).await;
    }
    if id.starts_with(JobId::PREFIX) {
        return jobs::show(client, id, output).await;
    }
    let detail: TrainingDetail = client.get(&format!("/v1/trainings/{}", encode(id))).await?;
    if output.is_json() {
        output.json(&detail)?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in pairs(&lines(detail)) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// What an evaluation says of one autoencoder.
fn held_out(step: i64, site: &EvaluatedSite) -> String {
    let hook = match site.hook {
        Hook::Residual => "residual",
        Hook::Mlp => "mlp",
        Hook::Attention => "attention",
    };
    let loss = match (site.ce_spliced, site.ce_score) {
        (Some(spliced), Some(score)) => {
            format!(
                "CE score {score:.3} ({:.3} clean, {spliced:.3} spliced)",
                site.ce_clean
            )
        }
        _ => format!("CE {:.3} clean, no score", site.ce_clean),
    };
    format!(
        "step {step}, layer {} {hook}: EV {:.3}, L0 {:.1}, {} dead, {} dense, {loss}",
        site.layer,
        site.explained_variance,
        site.active_latents,
        site.dead_latents,
        site.dense_latents
    )
}

fn lines(detail: TrainingDetail) -> Vec<(&'static str, String)> {
    let training = detail.training;
    let named = |name: Option<String>, id: String| match name {
        Some(name) => format!("{name} ({id})"),
        None => id,
    };
    let optional = |value: Option<f64>| value.map_or_else(String::new, format::measure);
    let time = |at: Option<_>| at.map_or_else(String::new, format::time);
    let status = match detail.requested.as_deref() {
        Some(request)
            if !["completed", "stopped", "paused"].contains(&training.status.as_str()) =>
        {
            format!("{} (asked to {request})", training.status)
        }
        _ => training.status.clone(),
    };
    let error = match (training.error_code, training.error_message) {
        (Some(code), Some(message)) => format!("{message} [{code}]"),
        (code, message) => message.or(code).unwrap_or_default(),
    };
    let hyperparameters = training
        .hyperparameters
        .as_object()
        .map(|map| {
            let parts: Vec<String> = map
                .iter()
                .map(|(name, value)| match value {
                    Value::String(text) => format!("{name}={text}"),
                    other => format!("{name}={other}"),
                })
                .collect();
            parts.join(" ")
        })
        .unwrap_or_default();
    let mut lines = vec![
        ("training", training.id),
        ("status", status),
        ("error", error),
        ("model", named(training.model_name, training.model_id)),
        ("dataset", named(training.dataset_name, training.dataset_id)),
        ("encoder", training.encoder_type),
        (
            "step",
            format!(
                "{} of {} ({:.1}%)",
                training.current_step, training.total_steps, training.progress
            ),
        ),
    ];
    if let Some(latest) = detail.latest {
        lines.extend([
            ("loss", format::measure(latest.loss)),
            ("L0", optional(latest.sparsity)),
            ("explained variance", optional(latest.explained_variance)),
            (
                "dead latents",
                latest
                    .dead_neurons
                    .map_or_else(String::new, |n| format::whole(n.into())),
            ),
            (
                "tokens/s",
                latest
                    .tokens_per_second
                    .map_or_else(String::new, format::count),
            ),
        ]);
    }
    if let Some(evaluation) = detail.evaluations.first() {
        lines.extend(
            evaluation
                .sites
                .iter()
                .map(|site| ("held out", held_out(evaluation.step, site))),
        );
    }
    if let Some(checkpoint) = detail.latest_checkpoint {
        let size = checkpoint
            .file_size_bytes
            .map_or_else(String::new, |bytes| format!(", {}", format::bytes(bytes)));
        lines.push((
            "latest checkpoint",
            format!(
                "step {}{size}: {}",
                checkpoint.step, checkpoint.storage_path
            ),
        ));
    }
    lines.extend([
        ("autoencoder", detail.result_path.unwrap_or_default()),
        ("hyperparameters", hyperparameters),
        (
            "attempts",
            if training.retry_count > 0 {
                (training.retry_count + 1).to_string()
            } else {
                String::new()
            },
        ),
        ("on", slurm::placed(detail.placement.as_ref())),
        ("SLURM job", slurm::in_words(detail.slurm_job.as_ref())),
        ("worker", training.worker_id.unwrap_or_default()),
        (
            "GPU",
            training
                .gpu_id
                .map_or_else(String::new, |id| id.to_string()),
        ),
        ("queued", format::time(training.created_at)),
        ("started", time(training.started_at)),
        ("rested", time(training.paused_at)),
        ("ended", time(training.completed_at)),
    ]);
    lines
}
