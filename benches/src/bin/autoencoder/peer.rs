//! SAELens, started as a program of its own.

use crate::case::{Case, JUMP_BANDWIDTH, JUMP_THRESHOLD, LEARNING_RATE, TOP_K};
use crate::data::{BATCH, BATCHES};
use crate::{Arguments, Measured, WARM_UP};
use anyhow::{Context as _, ensure};
use std::path::Path;
use std::process::Command;
use tch::Kind;

/// The same case on the same data.
pub fn measure(case: &Case, arguments: &Arguments, data: &Path) -> anyhow::Result<Measured> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/saelens.py");
    let mut command = Command::new(&arguments.python);
    command.arg(script).arg("--data").arg(data);
    for (name, value) in [
        ("--architecture", case.architecture().to_owned()),
        ("--batch", BATCH.to_string()),
        ("--steps", arguments.steps.to_string()),
        ("--warm-up", WARM_UP.to_string()),
        ("--last", BATCHES.to_string()),
        ("--threads", arguments.threads.to_string()),
        ("--learning-rate", LEARNING_RATE.to_string()),
        ("--sparsity", case.sparsity_coefficient().to_string()),
        ("--top-k", TOP_K.to_string()),
        ("--threshold", JUMP_THRESHOLD.to_string()),
        ("--bandwidth", JUMP_BANDWIDTH.to_string()),
    ] {
        command.args([name, value.as_str()]);
    }
    if case.kind == Kind::BFloat16 {
        command.arg("--bf16");
    }
    // Our libtorch is not to be found by their torch.
    command.env_remove("LD_LIBRARY_PATH");
    let output = command
        .output()
        .with_context(|| format!("starting {}", arguments.python.display()))?;
    ensure!(
        output.status.success(),
        "SAELens ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().context("SAELens printed nothing")?;
    Ok(serde_json::from_str(line)?)
}
