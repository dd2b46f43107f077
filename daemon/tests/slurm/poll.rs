//! One question a cluster and interval.

use crate::programs::{Programs, line};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use trainmaster::slurm::{Cluster, JobWatch, Known, Lookup, PollOptions, Poller};
use trainmaster_domain::slurm::{SlurmFailure, SlurmState};

const PATIENCE: Duration = Duration::from_secs(60);

fn polled(cluster: Arc<Cluster>, options: PollOptions) -> (Poller, DropGuard) {
    let poller = Poller::new(cluster, options);
    let shutdown = CancellationToken::new();
    let running = poller.clone();
    let until = shutdown.clone();
    tokio::spawn(async move { running.run(until).await });
    (poller, shutdown.drop_guard())
}

fn every(milliseconds: u64) -> PollOptions {
    PollOptions {
        interval: Duration::from_millis(milliseconds),
        ..PollOptions::default()
    }
}

fn lookup(submission: &str) -> Lookup<'_> {
    Lookup {
        submission,
        directory: Path::new("/state/slurm/elsewhere"),
    }
}

async fn until(watch: &mut JobWatch, wanted: impl Fn(&Known) -> bool) -> Known {
    tokio::time::timeout(PATIENCE, async {
        loop {
            let known = watch.changed().await;
            if wanted(&known) {
                return known;
            }
        }
    })
    .await
    .unwrap()
}

fn state(known: &Known) -> Option<&SlurmState> {
    match known {
        Known::Seen(seen) => Some(&seen.state),
        Known::NotYet | Known::Gone => None,
    }
}

/// Waits for so many questions.
async fn polls(poller: &Poller, number: u64) {
    let mut health = poller.health();
    let waited = health.wait_for(|health| health.polls >= number);
    tokio::time::timeout(PATIENCE, waited)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_jobs_are_one_question_an_interval_and_none_while_nobody_waits() {
    let programs = Programs::new();
    let answer = |state: &str| {
        (1..=1_000)
            .map(|id| line(id, state, "s"))
            .collect::<String>()
    };
    programs.answer("squeue", &answer("PENDING"));
    let (poller, _running) = polled(programs.cluster(), every(500));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(programs.calls("squeue"), 0);

    let begun = Instant::now();
    let mut watches: Vec<JobWatch> = (1..=1_000)
        .map(|id| poller.watch(&id.to_string(), lookup("s")))
        .collect();
    for watch in &mut watches {
        until(watch, |known| state(known) == Some(&SlurmState::Pending)).await;
    }
    polls(&poller, 3).await;
    programs.answer("squeue", &answer("COMPLETED"));
    for watch in &mut watches {
        until(watch, |known| state(known) == Some(&SlurmState::Completed)).await;
    }
    let intervals = begun.elapsed().as_millis() / 500 + 1;
    let calls = programs.calls("squeue");
    assert!(
        calls as u128 <= intervals,
        "{calls} in {intervals} intervals"
    );

    drop(watches);
    let calls = programs.calls("squeue");
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(
        programs.calls("squeue") <= calls + 1,
        "nobody waits any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn many_wishes_to_know_soon_are_few_questions_and_an_expected_end_is_asked_for_again() {
    let programs = Programs::new();
    programs.answer("squeue", &line(1, "RUNNING", "s"));
    let (poller, _running) = polled(programs.cluster(), every(10_000));
    let mut watch = poller.watch("1", lookup("s"));
    until(&mut watch, |known| {
        state(known) == Some(&SlurmState::Running)
    })
    .await;
    for _ in 0..1_000 {
        watch.poll_soon();
    }
    polls(&poller, 2).await;
    assert!(programs.calls("squeue") <= 3);

    // It does not wait for its interval.
    programs.answer("squeue", &line(1, "COMPLETING", "s"));
    watch.expect_end();
    let before = poller.health().borrow().polls;
    polls(&poller, before + 2).await;
    programs.answer("squeue", &line(1, "FAILED", "s"));
    let failed = SlurmState::Failed(SlurmFailure::Failed);
    until(&mut watch, |known| state(known) == Some(&failed)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_away_is_no_news_and_an_unknown_state_ends_nothing() {
    let programs = Programs::new();
    programs.answer("squeue", &line(1, "RUNNING", "s"));
    let (poller, _running) = polled(programs.cluster(), every(100));
    let mut watch = poller.watch("1", lookup("s"));
    until(&mut watch, |known| {
        state(known) == Some(&SlurmState::Running)
    })
    .await;

    programs.fail(
        "squeue",
        "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    );
    let mut health = poller.health();
    let said = tokio::time::timeout(PATIENCE, health.wait_for(|health| health.error.is_some()));
    let said = said.await.unwrap().unwrap().error.clone().unwrap();
    assert!(
        said.contains("does not answer") && said.contains("connect failure"),
        "{said}"
    );
    let asked = poller.health().borrow().polls;
    polls(&poller, asked + 2).await;
    assert_eq!(state(&watch.known()), Some(&SlurmState::Running));

    programs.answer("squeue", &line(1, "HIBERNATING", "s"));
    let known = until(&mut watch, |known| {
        state(known) != Some(&SlurmState::Running)
    })
    .await;
    assert_eq!(
        state(&known),
        Some(&SlurmState::Unknown("HIBERNATING".to_owned()))
    );
    assert!(!known.is_final());
    assert_eq!(poller.health().borrow().error, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_controller_forgot_is_asked_of_accounting_and_else_is_gone() {
    let programs = Programs::new();
    programs.answer(
        "scontrol",
        "AccountingStorageType   = accounting_storage/slurmdbd\nJobCompType = jobcomp/none\n",
    );
    let columns = [
        "7",
        "TIMEOUT",
        "0:0",
        "1795185048",
        "1795185060",
        "None",
        "/state/slurm/elsewhere",
    ];
    programs.answer("sacct", &(columns.join("\u{1f}") + "\n"));
    let (poller, _running) = polled(programs.cluster(), every(100));
    let mut remembered = poller.watch("7", lookup("s"));
    let mut gone = poller.watch("8", lookup("s"));
    let timeout = SlurmState::Failed(SlurmFailure::TimeLimit);
    until(&mut remembered, |known| state(known) == Some(&timeout)).await;
    assert_eq!(until(&mut gone, |_| true).await, Known::Gone);
    // The number is another's now.
    programs.answer("squeue", &line(7, "RUNNING", "of somebody else"));
    let asked = poller.health().borrow().polls;
    polls(&poller, asked + 2).await;
    assert_eq!(state(&remembered.known()), Some(&timeout));
    let mut other = poller.watch("7", lookup("of somebody else"));
    until(&mut other, |known| {
        state(known) == Some(&SlurmState::Running)
    })
    .await;
    // It is found out once how the cluster remembers.
    assert_eq!(programs.calls("scontrol"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_not_given_up_while_what_remembers_cannot_be_asked() {
    let programs = Programs::new();
    programs.fail(
        "scontrol",
        "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)",
    );
    let patience = Duration::from_secs(2);
    let options = PollOptions {
        patience,
        ..every(100)
    };
    let begun = Instant::now();
    let (poller, _running) = polled(programs.cluster(), options);
    let mut watch = poller.watch("1", lookup("s"));
    polls(&poller, 4).await;
    assert_eq!(watch.known(), Known::NotYet);
    assert_eq!(until(&mut watch, |_| true).await, Known::Gone);
    assert!(begun.elapsed() >= patience);
}
