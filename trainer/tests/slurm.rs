//! A run that SLURM executes, with a stand-in for `scontrol` and the environment that SLURM gives a job.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "run/directory.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod directory;

use directory::{RunDirectory, hyperparameters, train};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::Record;
use trainmaster_domain::run::spec::{ResumeFrom, Work};
use trainmaster_domain::run::{CONTRACT_VERSION, EXIT_LEFT, EXIT_NOT_HANDED_OVER, EXIT_SUPERSEDED};
use trainmaster_domain::slurm::{TaskPlace, Tasks};

const SUBMISSION: &str = "0193e0f4-8a4e-7c11-b9a1-2f6d3c1e5a73";

/// A submission directory with a task, and a `scontrol` that notes what it is told and answers as it should.
struct Submission {
    folder: tempfile::TempDir,
    run: RunDirectory,
}

impl Submission {
    fn of(index: Option<u32>, handover_timeout_seconds: u64) -> Self {
        let made = Self {
            folder: tempfile::tempdir().unwrap(),
            run: RunDirectory::new(),
        };
        let task = |index, run_directory| TaskPlace {
            index,
            run_directory,
        };
        let ours = made.run.path().to_str().unwrap().to_owned();
        let tasks = Tasks {
            contract: CONTRACT_VERSION,
            submission_id: SUBMISSION.to_owned(),
            handover_timeout_seconds,
            tasks: vec![task(Some(7), "/nowhere".to_owned()), task(index, ours)],
        };
        let text = serde_json::to_vec(&tasks).unwrap();
        std::fs::write(made.folder.path().join("tasks.json"), text).unwrap();
        made.scontrol_answers(0);
        made
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    fn scontrol_answers(&self, status: u32) {
        std::fs::create_dir_all(self.bin()).unwrap();
        let path = self.bin().join("scontrol");
        let script = format!("#!/bin/sh\necho \"$*\" >>\"$0.calls\"\nexit {status}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn scontrol_was_told(&self) -> String {
        std::fs::read_to_string(self.bin().join("scontrol.calls")).unwrap_or_default()
    }

    fn publish(&self, lease: u64, restart: u32, resume_from: Option<ResumeFrom>, steps: u32) {
        let mut work = train(Hyperparameters {
            training_steps: steps,
            ..hyperparameters()
        });
        if let Work::Train(train) = &mut work {
            train.resume_from = resume_from;
        }
        let of_submission = serde_json::json!({"submission_id": SUBMISSION, "restart": restart});
        // A spec that does not say so is another's for a moment, so it is written as a whole.
        let beside = RunDirectory::new();
        beside.spec(lease, work);
        let mut spec = beside.read_spec();
        spec["slurm"] = of_submission;
        self.run.write_spec(&spec);
    }

    fn start(&self, variables: &[(&str, &str)]) -> Child {
        let path = format!("{}:/usr/bin:/bin", self.bin().display());
        let mut command = self.run.command(env!("CARGO_BIN_EXE_trainmaster-trainer"));
        for name in ["JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID", "RESTART_COUNT"] {
            command.env_remove(format!("SLURM_{name}"));
        }
        command
            .env("PATH", path)
            .envs(variables.iter().copied())
            .arg("slurm")
            .arg(self.folder.path())
            .spawn()
            .unwrap()
    }

    fn checkpoints(&self) -> usize {
        let of_checkpoint = |record: &Record| matches!(record, Record::CheckpointSaved(_));
        let said = self.run.journal();
        said.iter()
            .filter(|line| of_checkpoint(&line.record))
            .count()
    }

    fn has_begun(&self, lease: u64) -> bool {
        self.run
            .journal()
            .iter()
            .any(|line| line.lease.0 == lease && matches!(line.record, Record::TrainingStarted(_)))
    }
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().unwrap();
    assert!(sent.success());
}

/// Whether a process catches SIGTERM.
fn listens(status: &str) -> bool {
    let status = std::fs::read_to_string(status).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|caught| u64::from_str_radix(caught.trim(), 16).ok());
    caught.is_some_and(|caught| caught & (1 << 14) != 0)
}

const JOB: [(&str, &str); 1] = [("SLURM_JOB_ID", "12")];

#[test]
fn a_task_of_an_array_does_the_run_that_is_its_own() {
    let submission = Submission::of(Some(1), 60);
    submission.publish(1, 0, None, 20);
    let child = submission.start(&[
        ("SLURM_JOB_ID", "14"),
        ("SLURM_ARRAY_JOB_ID", "12"),
        ("SLURM_ARRAY_TASK_ID", "1"),
    ]);
    assert_eq!(
        submission.run.wait(child),
        Some(0),
        "{}",
        submission.run.log()
    );
    assert!(matches!(submission.run.last(1), Record::Completed(_)));
    let fence = std::fs::read_to_string(submission.run.path().join("slurm-job.1")).unwrap();
    assert_eq!(fence, "12_1 restart 0\n");

    // SLURM does it twice: there is one run.
    let lines = submission.run.journal().len();
    let child = submission.start(&[
        ("SLURM_JOB_ID", "15"),
        ("SLURM_ARRAY_JOB_ID", "12"),
        ("SLURM_ARRAY_TASK_ID", "1"),
    ]);
    assert_eq!(submission.run.wait(child), Some(EXIT_SUPERSEDED));
    assert_eq!(submission.run.journal().len(), lines);

    // An array's task that the submission does not have.
    let child = submission.start(&[("SLURM_ARRAY_JOB_ID", "12"), ("SLURM_ARRAY_TASK_ID", "3")]);
    assert_eq!(submission.run.wait(child), Some(4));
    assert!(submission.run.log().contains("no task of job 12_3"));
}

#[test]
fn near_its_time_limit_a_training_saves_asks_for_another_turn_and_goes_on_under_the_next_lease() {
    let submission = Submission::of(None, 60);
    let run = &submission.run;
    submission.publish(1, 0, None, 100_000);
    let mut child = submission.start(&JOB);
    run.until(&mut child, || submission.checkpoints() > 0);
    signal(&child, "-USR1");
    assert_eq!(run.wait(child), Some(EXIT_LEFT), "{}", run.log());
    assert_eq!(submission.scontrol_was_told(), "requeue 12\n");
    assert!(matches!(run.last(1), Record::CheckpointSaved(_)));
    let saved = run.latest_checkpoint().unwrap();

    // It begins again before the daemon has noticed.
    let again = [("SLURM_JOB_ID", "12"), ("SLURM_RESTART_COUNT", "1")];
    let mut child = submission.start(&again);
    run.until(&mut child, || true);
    submission.publish(2, 1, Some(saved.clone()), 100_000);
    run.until(&mut child, || submission.has_begun(2));
    signal(&child, "-TERM");
    assert_eq!(run.wait(child), Some(EXIT_LEFT), "{}", run.log());
    assert_eq!(submission.scontrol_was_told(), "requeue 12\n");
    assert!(run.latest_checkpoint().unwrap().step >= saved.step);
    let said = run.journal();
    let begun = said.iter().find_map(|line| match &line.record {
        Record::TrainingStarted(started) if line.lease.0 == 2 => Some(started.at_step),
        _ => None,
    });
    assert_eq!(begun, Some(saved.step));
    assert!(
        !said.iter().any(|line| matches!(
            line.record,
            Record::Paused(_) | Record::Failed(_) | Record::Stopped(_)
        )),
        "why it ended is SLURM's to say"
    );
}

#[test]
fn a_training_that_gets_no_other_turn_goes_on_for_what_is_left_of_this_one() {
    let submission = Submission::of(None, 60);
    let run = &submission.run;
    submission.scontrol_answers(1);
    submission.publish(1, 0, None, 100_000);
    let mut child = submission.start(&JOB);
    run.until(&mut child, || submission.has_begun(1));
    signal(&child, "-USR1");
    run.until(&mut child, || !submission.scontrol_was_told().is_empty());
    let saved = submission.checkpoints();
    run.until(&mut child, || submission.checkpoints() > saved + 1);
    run.control(1, Request::Pause);
    assert_eq!(run.wait(child), Some(0), "{}", run.log());
    assert!(matches!(run.last(1), Record::Paused(_)));
    assert_eq!(submission.scontrol_was_told(), "requeue 12\n");
}

#[test]
fn a_job_whose_run_is_anothers_or_nobodys_leaves_without_a_word() {
    let submission = Submission::of(None, 1);
    let run = &submission.run;
    submission.publish(3, 2, None, 20);
    let restarted = |count| [("SLURM_JOB_ID", "12"), ("SLURM_RESTART_COUNT", count)];
    // An earlier turn of the same job, which was slow to leave.
    let child = submission.start(&restarted("1"));
    assert_eq!(run.wait(child), Some(EXIT_SUPERSEDED));
    // A later one, which nobody hands the run.
    let child = submission.start(&restarted("3"));
    assert_eq!(run.wait(child), Some(EXIT_NOT_HANDED_OVER), "{}", run.log());
    // The run was submitted anew.
    let mut spec = run.read_spec();
    spec["slurm"]["submission_id"] = "another".into();
    run.write_spec(&spec);
    let child = submission.start(&restarted("2"));
    assert_eq!(run.wait(child), Some(EXIT_SUPERSEDED));
    // It is executed on the daemon's machine now.
    spec["slurm"] = serde_json::Value::Null;
    run.write_spec(&spec);
    let child = submission.start(&restarted("2"));
    assert_eq!(run.wait(child), Some(EXIT_SUPERSEDED));
    assert!(run.journal().is_empty());
    // Nobody calls it as SLURM does.
    let child = submission.start(&[]);
    assert_eq!(run.wait(child), Some(4));
    assert!(run.log().contains("SLURM_JOB_ID is not set"));
}

#[test]
fn a_job_that_waits_for_its_run_ends_when_slurm_ends_it() {
    let submission = Submission::of(None, 600);
    let run = &submission.run;
    submission.publish(1, 0, None, 20);
    let mut child = submission.start(&[("SLURM_JOB_ID", "12"), ("SLURM_RESTART_COUNT", "1")]);
    let status = format!("/proc/{}/status", child.id());
    run.until(&mut child, || listens(&status));
    signal(&child, "-TERM");
    assert_eq!(run.wait(child), Some(EXIT_LEFT));
    assert!(run.journal().is_empty());
}
