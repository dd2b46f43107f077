//! `segmentations`, and `show` of one.

use super::{
    arguments::{
        PageArguments,
        images::{SegmentationsArguments, SegmentationsCommand},
    },
    client::{Client, encode},
    failure::Failure,
    format,
    output::Output,
    register, slurm,
    table::{Table, pairs},
};
use crate::http::Segmentation;
use serde_json::Value;
use std::process::ExitCode;
use trainmaster_domain::run::journal::SegmentationQuality;

pub(super) async fn run(
    client: &Client,
    arguments: SegmentationsArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(SegmentationsCommand::Show { id }) => show(client, &id, output).await,
        Some(SegmentationsCommand::Ls(page)) => list(client, &page, output).await,
        None => list(client, &arguments.page, output).await,
    }
}

async fn list(client: &Client, page: &PageArguments, output: Output) -> Result<ExitCode, Failure> {
    let found: Vec<Segmentation> = register::list(client, "/v1/segmentations", page).await?;
    if output.is_json() {
        output.json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        "ID", "NAME", "STATUS", ">STEP", ">OF", ">LOSS", ">DICE", "SLURM", "QUEUED",
    ]);
    for one in found {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), format::measure);
        table.row(vec![
            one.id.clone(),
            format::short(&one.name, 32),
            one.status.clone(),
            one.current_step.to_string(),
            one.total_steps.to_string(),
            number(one.latest.as_ref().map(|latest| latest.loss)),
            number(one.quality.as_ref().and_then(|quality| quality.mean_dice)),
            slurm::short(&one),
            format::time(one.created_at),
        ]);
    }
    register::print(
        &table,
        "no trainings that segment images; queue one with `trainmaster segment --images DIR --labels DIR`",
        output,
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(client: &Client, id: &str, output: Output) -> Result<ExitCode, Failure> {
    let found: Segmentation = client
        .get(&format!("/v1/segmentations/{}", encode(id)))
        .await?;
    if output.is_json() {
        output.json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in pairs(&lines(found)) {
        output.line(line);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a network made of held-out images, in words.
pub(super) fn dice(quality: &SegmentationQuality) -> String {
    let classes: Vec<String> = quality
        .dice
        .iter()
        .map(|dice| dice.map_or_else(|| "-".to_owned(), |dice| format!("{dice:.3}")))
        .collect();
    let mean = quality
        .mean_dice
        .map_or_else(|| "-".to_owned(), |mean| format!("{mean:.3}"));
    let of_classes = if classes.len() > 1 {
        format!(" ({})", classes.join(", "))
    } else {
        String::new()
    };
    format!(
        "Dice {mean}{of_classes}, loss {}",
        format::measure(quality.loss)
    )
}

fn lines(found: Segmentation) -> Vec<(&'static str, String)> {
    let time = |at: Option<_>| at.map_or_else(String::new, format::time);
    let status = match &found.requested {
        Some(request) => format!("{} (asked to {request})", found.status),
        None => found.status.clone(),
    };
    let error = match (&found.error_code, &found.error_message) {
        (Some(code), Some(message)) => format!("{message} [{code}]"),
        (_, message) => message.clone().unwrap_or_default(),
    };
    let model = match (&found.model_name, &found.model_id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        _ => String::new(),
    };
    let fold = found.fold.as_ref().map_or_else(String::new, |fold| {
        let (index, folds) = (fold.split.index, fold.split.folds);
        format!(
            "{index} (of 0 to {}) of {}",
            folds.saturating_sub(1),
            fold.group
        )
    });
    let held_out = found.quality.as_ref().map_or_else(String::new, |quality| {
        format!(
            "step {}, {} images: {}",
            quality.step,
            quality.images,
            dice(quality)
        )
    });
    let latest = found.latest.as_ref();
    let latest = |of: fn(&crate::queries::LatestStep) -> Option<f64>| latest.and_then(of);
    let settings = serde_json::to_value(&found.settings).unwrap_or(Value::Null);
    let settings: Vec<String> = settings
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    vec![
        ("training", found.id),
        ("name", found.name),
        ("status", status),
        ("error", error),
        ("fold", fold),
        ("images", found.images_path),
        ("labels", found.labels_path),
        (
            "step",
            format!(
                "{} of {} ({:.1}%)",
                found.current_step, found.total_steps, found.progress
            ),
        ),
        (
            "loss",
            latest(|it| Some(it.loss)).map_or_else(String::new, format::measure),
        ),
        (
            "images/s",
            latest(|it| it.images_per_second).map_or_else(String::new, format::count),
        ),
        ("held out", held_out),
        ("model", model),
        ("result", found.result_path.unwrap_or_default()),
        (
            "latest checkpoint",
            found.latest_checkpoint.unwrap_or_default(),
        ),
        ("settings", settings.join(" ")),
        ("on", slurm::placed(found.placement.as_ref())),
        ("SLURM job", slurm::in_words(found.slurm_job.as_ref())),
        (
            "attempts",
            if found.retry_count > 0 {
                (found.retry_count + 1).to_string()
            } else {
                String::new()
            },
        ),
        ("queued", format::time(found.created_at)),
        ("started", time(found.started_at)),
        ("ended", time(found.completed_at)),
    ]
}
