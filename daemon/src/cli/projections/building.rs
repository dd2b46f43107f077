//! Progress of a rebuild or a verification: a bar in a terminal, else a line a second.

use crate::{
    cli::{
        client::{Client, encode},
        failure::Failure,
        format,
        output::Output,
    },
    projector::{BuildProgress, BuildStage},
};
use hyper::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::de::DeserializeOwned;
use serde_json::json;

/// Asks the daemon for `action` and shows how far it is.
pub(super) async fn run_telling<T: DeserializeOwned>(
    client: &Client,
    read_model: &str,
    action: &str,
    output: Output,
) -> Result<T, Failure> {
    let path = format!("/v1/projections/{}/{action}", encode(read_model));
    let bar = output.is_terminal().then(bar);
    let mut refused = None;
    let told = |seconds: f64, progress: Option<BuildProgress>| {
        let progress = progress.unwrap_or_default();
        if let Some(bar) = &bar {
            bar.set_length(progress.total.unsigned_abs());
            bar.set_position(progress.done.unsigned_abs());
            bar.set_message(line(read_model, &progress));
        } else if output.is_json() {
            let document = json!({ "progress": progress, "seconds": seconds });
            refused = output.json(&document).err();
        } else {
            output.remark(format!(
                "{} of {} {} ({seconds:.0}s)",
                format::whole(progress.done),
                format::whole(progress.total),
                line(read_model, &progress)
            ));
        }
    };
    let outcome = client.long_running_telling(&Method::POST, &path, told).await;
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    match refused {
        Some(failure) => Err(failure),
        None => outcome,
    }
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    bar.set_style(
        ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar
}

fn line(read_model: &str, progress: &BuildProgress) -> String {
    let what = match progress.stage {
        BuildStage::Waiting => "waiting for others",
        BuildStage::Events => "events",
        BuildStage::Keys => "indexes and keys",
        BuildStage::Comparing => "rows compared",
        BuildStage::Swapping => "swapping",
    };
    match progress.seconds_left {
        Some(left) => format!("{read_model}: {what}  {} left", format::seconds(left)),
        None => format!("{read_model}: {what}"),
    }
}
