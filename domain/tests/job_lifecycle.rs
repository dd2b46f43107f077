//! Jobs: what may follow what, fences, cancellation, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/events.rs"]
mod sample_events;

use sample_events::{at, jobs};
use trainmaster_domain::{
    Aggregate, Lease, Task,
    attempt::{Claim, Loss, LossReason, Report, RetryPolicy},
    job::{Job, JobCommand, JobEvent, JobStatus, JobWork},
    run::{
        control::Request,
        journal::{Failure, FailureClass, FeaturesExtracted, Generated, JournalRecord, Record},
    },
};

fn apply(job: &mut Job, command: JobCommand) -> Vec<JobEvent> {
    let events = job.decide(command).unwrap();
    for event in &events {
        job.evolve(event).unwrap();
    }
    events
}

fn claim() -> JobCommand {
    JobCommand::Claim(Claim {
        worker_id: "edge-1".into(),
        host: "edge".into(),
        device: "cpu".into(),
        now: at(100),
    })
}

fn report(lease: u64, seq: u64, record: Record) -> JobCommand {
    JobCommand::Report(Box::new(Report {
        line: JournalRecord {
            lease: Lease(lease),
            seq,
            at: at(1),
            record,
        },
        now: at(1),
        policy: RetryPolicy::default(),
    }))
}

fn lost(lease: u64) -> JobCommand {
    JobCommand::LoseLease(Loss {
        lease: Lease(lease),
        reason: LossReason::Exited,
        message: "gone".into(),
        now: at(1),
        policy: RetryPolicy::default(),
    })
}

fn running(work: JobWork) -> Job {
    let mut job = Job::default();
    let queued = apply(&mut job, JobCommand::Queue(work.into()));
    assert_eq!(queued[0].task(), Some(Task::Dispatch { not_before: None }));
    apply(&mut job, claim());
    assert_eq!(job.status(), JobStatus::Running);
    job
}

fn generated() -> Record {
    Record::Generated(Box::new(Generated {
        plain: jobs::completion("a"),
        steered: None,
    }))
}

#[test]
fn an_extraction_becomes_the_events_that_tables_are_filled_from() {
    let mut job = running(jobs::extraction());
    let events = apply(
        &mut job,
        report(
            1,
            1,
            Record::FeaturesExtracted(Box::new(FeaturesExtracted {
                features: jobs::artifact("features.parquet", 2),
                activations: jobs::artifact("activations.parquet", 20),
                samples: 10,
                tokens: 2_550,
                scoring: jobs::scoring(),
            })),
        ),
    );
    let types: Vec<_> = events.iter().map(JobEvent::event_type).collect();
    assert_eq!(
        types,
        [
            "FeaturesExtracted",
            "FeaturesLabelled",
            "FeaturesScored",
            "ActivationsAttached",
            "JobCompleted"
        ]
    );
    assert_eq!(job.status(), JobStatus::Completed);
    assert_eq!(job.extracted().unwrap().block, jobs::block());
}

#[test]
fn the_journal_of_other_work_is_not_believed() {
    let mut job = running(jobs::extraction());
    assert!(job.decide(report(1, 1, generated())).is_err());
    // Nobody asked for it to end.
    assert!(job.decide(report(1, 1, Record::Cancelled {})).is_err());
    apply(
        &mut job,
        report(
            1,
            1,
            Record::Failed(Failure {
                class: FailureClass::Workload,
                code: "shape_mismatch".into(),
                message: "widths differ".into(),
            }),
        ),
    );
    assert_eq!(job.status(), JobStatus::Failed);
    apply(&mut job, JobCommand::Retry);
    assert_eq!(job.status(), JobStatus::Queued);
}

#[test]
fn a_lost_run_is_tried_again_under_a_new_lease_and_the_old_one_is_not_heard() {
    let mut job = running(jobs::generation());
    apply(&mut job, lost(1));
    assert_eq!(job.status(), JobStatus::Queued);
    apply(&mut job, claim());
    assert_eq!(job.attempts().lease, Lease(2));
    assert!(job.decide(report(1, 9, generated())).is_err());
    apply(&mut job, report(2, 1, generated()));
    assert_eq!(job.status(), JobStatus::Completed);
    assert_eq!(job.text().unwrap().plain.text, "a");
}

#[test]
fn cancelling_asks_a_run_and_ends_what_waits() {
    let mut waiting = Job::default();
    apply(&mut waiting, JobCommand::Queue(jobs::generation().into()));
    apply(&mut waiting, JobCommand::RequestCancel);
    assert_eq!(waiting.status(), JobStatus::Cancelled);

    let mut job = running(jobs::extraction());
    let asked = apply(&mut job, JobCommand::RequestCancel);
    assert_eq!(asked[0].task(), Some(Task::Control));
    assert_eq!(job.requested(), Some(Request::Stop));
    assert!(apply(&mut job, JobCommand::RequestCancel).is_empty());
    let mut dying = job.clone();
    apply(&mut job, report(1, 1, Record::Cancelled {}));
    assert_eq!(job.status(), JobStatus::Cancelled);
    apply(&mut dying, lost(1));
    assert_eq!(dying.status(), JobStatus::Cancelled, "not tried again");
    assert_eq!(dying.requested(), None);
}

#[test]
fn values_out_of_range_are_refused_by_name() {
    let mut extraction = jobs::extraction();
    if let JobWork::Extraction(extraction) = &mut extraction {
        extraction.minimum_frequency = f64::NAN;
    }
    let refusal = Job::default()
        .decide(JobCommand::Queue(extraction.into()))
        .unwrap_err();
    assert!(
        refusal.to_string().contains("minimumFrequency"),
        "{refusal}"
    );

    let mut generation = jobs::generation();
    if let JobWork::Generation(generation) = &mut generation {
        generation.sampling.top_p = 0.0;
    }
    let refusal = Job::default()
        .decide(JobCommand::Queue(generation.into()))
        .unwrap_err();
    assert!(refusal.to_string().contains("topP"), "{refusal}");

    let mut generation = jobs::generation();
    if let JobWork::Generation(generation) = &mut generation
        && let Some(intervention) = &mut generation.intervention
    {
        intervention.features[0].coefficient = f64::NAN;
    }
    let refusal = Job::default()
        .decide(JobCommand::Queue(generation.into()))
        .unwrap_err();
    assert!(refusal.to_string().contains("coefficient"), "{refusal}");
}
