//! Is the trainer there, does it find libtorch, and which devices does it see?

use super::Report;
use crate::{config::Settings, serve::trainer};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use trainmaster_domain::run::CONTRACT_VERSION;

/// Loading libtorch from a slow disk and measuring takes its time.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn examine(report: &mut Report, settings: &Settings) {
    let program = trainer(settings);
    let asked = tokio::process::Command::new(&program)
        .args(["doctor", "--json"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => {
            let advice = "build it (ops/build), put it beside this program or into $PATH, or set runner.program";
            report.fail("trainer", format!("{}: {error}", program.display()), advice);
            return;
        }
        Err(_) => {
            let found = format!("{} did not answer within {LIMIT:?}", program.display());
            report.fail(
                "trainer",
                found,
                format!("run {} doctor and see where it hangs", program.display()),
            );
            return;
        }
    };
    let findings: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let Some(findings) = findings.filter(|_| output.status.success()) else {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing");
        let advice = "libtorch is missing or of another version: see ops/setup-libtorch, or set LIBTORCH and LD_LIBRARY_PATH";
        report.fail(
            "trainer",
            format!("{} ended with {}: {last}", program.display(), output.status),
            advice,
        );
        return;
    };
    let text = |key: &str| {
        findings
            .get(key)
            .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            .unwrap_or_default()
    };
    if findings.get("contract_version").and_then(Value::as_u64) == Some(u64::from(CONTRACT_VERSION))
    {
        report.ok(
            "trainer",
            format!("{} {}", program.display(), text("trainer_version")),
        );
    } else {
        let found = format!(
            "it follows run contract {}, the daemon {CONTRACT_VERSION}",
            text("contract_version")
        );
        report.fail(
            "trainer",
            found,
            "install daemon and trainer of the same release",
        );
    }
    report.ok("trainer.libtorch", text("libtorch_version"));
    devices(report, settings, &findings);
}

fn devices(report: &mut Report, settings: &Settings, findings: &Value) {
    let devices = findings
        .get("devices")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for device in devices {
        let name = device
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or("device");
        match device.get("error").and_then(Value::as_str) {
            Some(error) => {
                report.warning(
                    "trainer.device",
                    format!("{name}: {error}"),
                    "check the driver, or set runner.device to another",
                );
            }
            None => {
                let precision = device
                    .get("auto_precision")
                    .and_then(Value::as_str)
                    .unwrap_or("f32");
                report.ok("trainer.device", format!("{name}, precision {precision}"));
            }
        }
    }
    let wanted = settings.runner.device.as_str();
    let known = devices
        .iter()
        .any(|device| device.get("name").and_then(Value::as_str) == Some(wanted));
    if wanted != "auto" && !known {
        let advice = "set runner.device to one that is listed, or install a libtorch with CUDA";
        report.fail(
            "trainer.device",
            format!("runner.device is {wanted}, which the trainer does not see"),
            advice,
        );
    }
}
