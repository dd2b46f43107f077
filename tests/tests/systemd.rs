//! The units under a real systemd, in a container (ops/check-systemd says what is looked at).
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{path::Path, process::Command};
use trainmaster_tests::lab::program;

/// What ops/check-systemd ends with where a container cannot be had.
const SKIPPED: i32 = 77;

#[test]
fn the_service_is_ready_watched_stopped_and_upgraded_under_a_running_training() {
    let [programs, _] = ["trainmaster", "trainmaster-trainer"].map(program);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/check-systemd");
    let output = Command::new(script)
        .arg(programs.parent().unwrap())
        .output()
        .unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    eprintln!("{said}");
    assert!(
        output.status.success() || output.status.code() == Some(SKIPPED),
        "{said}"
    );
}
