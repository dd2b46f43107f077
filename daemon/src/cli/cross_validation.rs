//! `cross-validation`: what the folds found, and waiting for them.

use super::{
    arguments::{PageArguments, images::CrossValidationArguments},
    client::{Client, EventStream, encode},
    failure::Failure,
    format,
    jobs::follow::too_long,
    output::Output,
    register, segmentations, slurm,
    table::{Table, pairs},
};
use crate::http::{CrossValidation, CrossValidationDetail, Spread};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{process::ExitCode, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// Folds that train say a lot; what they say is shown so often.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// What failed may be tried again by itself, which is announced in the same moment.
const AFTER_FAILURE: Duration = Duration::from_millis(700);

pub(super) async fn run(
    client: &Client,
    arguments: CrossValidationArguments,
    output: Output,
) -> Result<ExitCode, Failure> {
    match arguments.id {
        None => list(client, arguments.limit, output).await,
        Some(id) if arguments.wait => {
            wait(client, &id, Duration::from_secs(arguments.timeout), output).await
        }
        Some(id) => show(client, &id, output).await,
    }
}

async fn list(client: &Client, limit: u32, output: Output) -> Result<ExitCode, Failure> {
    let page = PageArguments {
        status: None,
        limit,
    };
    let found: Vec<CrossValidation> =
        register::list(client, "/v1/cross-validations", &page).await?;
    if output.is_json() {
        output.json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["ID", "NAME", ">FOLDS", "STATUS", ">%", "ON", "QUEUED"]);
    for one in found {
        table.row(vec![
            one.id,
            format::short(&one.name, 32),
            one.folds.to_string(),
            one.status,
            format!("{:.0}", one.progress),
            one.placement
                .map_or_else(|| "-".to_owned(), |placement| placement.cluster),
            format::time(one.created_at),
        ]);
    }
    register::print(
        &table,
        "no cross-validations; queue one with `trainmaster segment --images DIR --labels DIR --folds 5`",
        output,
    );
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn show(client: &Client, id: &str, output: Output) -> Result<ExitCode, Failure> {
    print(&detail(client, id).await?, output)?;
    Ok(ExitCode::SUCCESS)
}

async fn detail(client: &Client, id: &str) -> Result<CrossValidationDetail, Failure> {
    client
        .get(&format!("/v1/cross-validations/{}", encode(id)))
        .await
}

/// Waits until all folds have come to rest, and shows what they found.
pub(super) async fn wait(
    client: &Client,
    id: &str,
    limit: Duration,
    output: Output,
) -> Result<ExitCode, Failure> {
    let found = timeout(limit, rested(client, id, output))
        .await
        .unwrap_or_else(|_| Err(too_long("cross-validation", id, limit)))?;
    print(&found, output)?;
    let failed: Vec<&str> = found
        .trainings
        .iter()
        .filter(|training| training.status != "completed")
        .map(|training| training.id.as_str())
        .collect();
    match found.cross_validation.status.as_str() {
        "completed" => Ok(ExitCode::SUCCESS),
        status => Err(Failure::failed(
            &format!("cross_validation_{status}"),
            format!(
                "cross-validation {id} is {status}: not every fold is completed ({}); `trainmaster retry` tries one again",
                failed.join(", ")
            ),
        )),
    }
}

async fn rested(
    client: &Client,
    id: &str,
    output: Output,
) -> Result<CrossValidationDetail, Failure> {
    // First the stream, then the state: nothing is lost between the two.
    let folds = [("category", Some("training".to_owned()))];
    let mut stream = EventStream::open(client, &folds, None).await?;
    let bar = output.is_terminal().then(|| {
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar} {pos}% {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.with_style(style)
    });
    let mut said = String::new();
    let mut was_at_rest = false;
    loop {
        let found = detail(client, id).await?;
        let now = in_words(&found);
        match &bar {
            Some(bar) => {
                bar.set_position(found.cross_validation.progress as u64);
                bar.set_message(now);
            }
            None if now != said => {
                output.remark(format!("{id}: {now}"));
                said = now;
            }
            None => {}
        }
        let is_at_rest = !["queued", "training"].contains(&found.cross_validation.status.as_str());
        if is_at_rest && (was_at_rest || found.cross_validation.status == "completed") {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return Ok(found);
        }
        was_at_rest = is_at_rest;
        if is_at_rest {
            let _ = timeout(AFTER_FAILURE, stream.next()).await;
            continue;
        }
        stream.next().await?;
        // What happens at about the same time is looked at together.
        let until = Instant::now() + BETWEEN_LOOKS;
        while let Ok(event) = timeout_at(until, stream.next()).await {
            event?;
        }
    }
}

fn in_words(found: &CrossValidationDetail) -> String {
    let mut statuses: Vec<(&str, usize)> = Vec::new();
    for training in &found.trainings {
        match statuses
            .iter_mut()
            .find(|(status, _)| *status == training.status)
        {
            Some((_, count)) => *count += 1,
            None => statuses.push((&training.status, 1)),
        }
    }
    if statuses.is_empty() {
        return found.cross_validation.status.clone();
    }
    let each: Vec<String> = statuses
        .iter()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let dice = found.results.dice.map_or_else(String::new, |dice| {
        format!("; Dice {}", spread(Some(&dice)))
    });
    format!("{}{dice}", each.join(", "))
}

fn spread(spread: Option<&Spread>) -> String {
    match spread {
        None => "-".to_owned(),
        Some(Spread {
            mean,
            standard_deviation: None,
            ..
        }) => format!("{mean:.3}"),
        Some(Spread {
            mean,
            standard_deviation: Some(deviation),
            ..
        }) => format!("{mean:.3} ± {deviation:.3}"),
    }
}

fn print(found: &CrossValidationDetail, output: Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(found);
    }
    let it = &found.cross_validation;
    let time = format::time(it.created_at);
    for line in pairs(&[
        ("cross-validation", it.id.clone()),
        ("name", it.name.clone()),
        ("status", it.status.clone()),
        ("images", it.images_path.clone()),
        ("labels", it.labels_path.clone()),
        ("folds", it.folds.to_string()),
        ("on", slurm::placed(it.placement.as_ref())),
        ("queued", time),
    ]) {
        output.line(line);
    }
    let mut table = Table::new(&[
        ">FOLD", "TRAINING", "STATUS", ">%", ">IMAGES", "HELD OUT", "SLURM",
    ]);
    for (index, training) in found.trainings.iter().enumerate() {
        let fold = training.fold.as_ref();
        let quality = training.quality.as_ref();
        table.row(vec![
            fold.map_or(index, |fold| fold.split.index.into())
                .to_string(),
            training.id.clone(),
            training.status.clone(),
            format!("{:.0}", training.progress),
            quality.map_or_else(|| "-".to_owned(), |quality| quality.images.to_string()),
            quality.map_or_else(|| "-".to_owned(), segmentations::dice),
            slurm::short(training),
        ]);
    }
    if !table.is_empty() {
        output.line("");
        table.lines().iter().for_each(|line| output.line(line));
        output.line("");
    }
    for training in &found.trainings {
        if let Some(message) = &training.error_message {
            let code = training.error_code.as_deref().unwrap_or("unknown");
            output.line(format!(
                "{} {}: {message} [{code}]",
                training.id, training.status
            ));
        }
    }
    let results = &found.results;
    let Some(dice) = &results.dice else {
        return Ok(());
    };
    output.line(format!(
        "Dice {} over {} of {} folds",
        spread(Some(dice)),
        dice.folds,
        it.folds
    ));
    if results.classes.len() > 1 {
        for (class, of_class) in results.classes.iter().enumerate() {
            output.line(format!(
                "  class {}: {}",
                class + 1,
                spread(of_class.as_ref())
            ));
        }
    }
    Ok(())
}
