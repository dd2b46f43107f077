//! Some rounds under fire: a few that are always the same, and a few that nobody has seen. The whole campaign is a program: see README.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use trainmaster_tests::{
    fire::{self, KINDS, Options},
    lab::program,
};

async fn rounds(seed: u64, rounds: u64) -> fire::Report {
    let options = Options {
        seed,
        rounds,
        duration: Duration::from_secs(300),
        whole_every: 3,
        talk: true,
        ..Options::default()
    };
    let report = fire::run(&options).await;
    eprintln!("{report}");
    assert!(
        report.violations.is_empty(),
        "run `cargo run -p trainmaster-tests --bin fire -- --rounds 1 --seed N` with the seeds above: {:#?}",
        report.violations
    );
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_promised_holds_when_the_surroundings_break_as_they_once_did() {
    let report = rounds(2026, 6).await;
    assert_eq!(report.rounds, 6);
    assert!(report.accepted > 0, "{report}");
    assert!(!report.faults.is_empty(), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_promised_holds_when_they_break_as_never_before() {
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    // So that whoever sees it fail can see it again.
    eprintln!("seed {seed}");
    rounds(seed, 6).await;
}

#[test]
fn a_trainer_whose_log_is_on_a_full_disk_does_not_panic() {
    let nowhere = tempfile::tempdir().unwrap().path().join("nowhere");
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = std::process::Command::new(program("trainmaster-trainer"))
        .arg("run")
        .arg(nowhere)
        .args(["--lease", "1"])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(4), "speechless, and not broken");
}

#[test]
fn every_fault_has_a_name_that_leads_to_it() {
    for (kind, name) in KINDS {
        assert_eq!(name.parse(), Ok(kind));
        assert_eq!(kind.to_string(), name);
    }
    assert!("rain".parse::<fire::Kind>().is_err());
}
