//! What SLURM says of a job, and what becomes of it.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/events.rs"]
mod sample_events;

use sample_events::{at, slurm::submission};
use trainmaster_domain::{
    Aggregate, Lease,
    slurm::{
        Observation, SlurmJob, SlurmJobCommand, SlurmJobEvent, SlurmJobRefusal, SlurmJobStatus,
        SlurmState, state::SlurmFailure,
    },
};

fn act(job: &mut SlurmJob, command: SlurmJobCommand) -> Vec<&'static str> {
    let events = job.decide(command).unwrap();
    for event in &events {
        job.evolve(event).unwrap();
    }
    events.iter().map(SlurmJobEvent::event_type).collect()
}

fn seen(state: SlurmState) -> Observation {
    Observation {
        state: Some(state),
        started_at: None,
        ended_at: None,
        restarts: 0,
        reason: None,
        exit_code: None,
        proven: false,
        now: at(1_000),
    }
}

fn submitted() -> SlurmJob {
    let mut job = SlurmJob::default();
    act(&mut job, SlurmJobCommand::Intend(Box::new(submission())));
    act(
        &mut job,
        SlurmJobCommand::NoteSubmitted {
            sbatch_id: "7_1".to_owned(),
        },
    );
    job
}

fn running() -> SlurmJob {
    let mut job = submitted();
    let mut run = seen(SlurmState::Running);
    run.started_at = Some(at(5));
    act(&mut job, SlurmJobCommand::Observe(run));
    assert_eq!(job.status(), SlurmJobStatus::Running);
    job
}

#[test]
fn a_submission_is_intended_once_and_has_one_id() {
    let mut job = SlurmJob::default();
    let intend = || SlurmJobCommand::Intend(Box::new(submission()));
    let note = |id: &str| SlurmJobCommand::NoteSubmitted {
        sbatch_id: id.to_owned(),
    };
    assert_eq!(job.decide(note("7")), Err(SlurmJobRefusal::Absent));
    assert_eq!(act(&mut job, intend()), ["SlurmSubmissionIntended"]);
    assert!(act(&mut job, intend()).is_empty());
    assert_eq!(act(&mut job, note("7")), ["SlurmJobSubmitted"]);
    assert!(act(&mut job, note("7")).is_empty());
    assert_eq!(
        job.decide(note("8")),
        Err(SlurmJobRefusal::OtherId {
            known: "7".to_owned(),
            given: "8".to_owned()
        })
    );
    assert_eq!(job.decide(intend()), Err(SlurmJobRefusal::Exists));
}

#[test]
fn a_job_that_began_and_ended_between_two_looks_has_begun_and_ended_when_slurm_says() {
    let mut job = submitted();
    let mut end = seen(SlurmState::Completed);
    (end.started_at, end.ended_at) = (Some(at(10)), Some(at(11)));
    let events = job.decide(SlurmJobCommand::Observe(end.clone())).unwrap();
    assert!(
        matches!(&events[..], [SlurmJobEvent::SlurmJobStarted(started), SlurmJobEvent::SlurmJobCompleted(ended)]
            if started.at == at(10) && ended.at == at(11))
    );
    act(&mut job, SlurmJobCommand::Observe(end.clone()));
    assert_eq!(job.status(), SlurmJobStatus::Completed);
    assert!(act(&mut job, SlurmJobCommand::Observe(end)).is_empty());
}

#[test]
fn a_job_that_was_cancelled_while_it_waited_has_not_begun() {
    let mut job = submitted();
    let mut end = seen(SlurmState::Failed(SlurmFailure::Cancelled));
    // What SLURM prints of such a job: both times are that of the cancellation.
    (end.started_at, end.ended_at) = (Some(at(11)), Some(at(11)));
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(end)),
        ["SlurmJobFailed"]
    );
    let failure = job.failure().unwrap();
    assert_eq!(failure.state.as_deref(), Some("CANCELLED"));
    assert!(failure.message.contains("CANCELLED"));
}

#[test]
fn a_job_that_is_cleared_away_to_be_put_back_is_put_back_once() {
    let mut job = running();
    // With the time at which it is to begin again.
    let mut clearing = seen(SlurmState::Completing);
    (clearing.started_at, clearing.restarts) = (Some(at(12)), 1);
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(clearing.clone())),
        ["SlurmJobRequeued"]
    );
    assert!(act(&mut job, SlurmJobCommand::Observe(clearing)).is_empty());
    let mut back = seen(SlurmState::Pending);
    (back.started_at, back.restarts) = (Some(at(12)), 1);
    assert!(act(&mut job, SlurmJobCommand::Observe(back)).is_empty());
    assert_eq!((job.status(), job.restarts()), (SlurmJobStatus::Pending, 1));
    let mut again = seen(SlurmState::Running);
    (again.started_at, again.restarts) = (Some(at(12)), 1);
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(again)),
        ["SlurmJobStarted"]
    );
}

#[test]
fn a_job_that_is_put_back_waits_again_and_goes_on_under_another_lease() {
    let mut job = running();
    let mut back = seen(SlurmState::Pending);
    back.restarts = 1;
    back.reason = Some("BeginTime".to_owned());
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(back.clone())),
        ["SlurmJobRequeued"]
    );
    assert!(act(&mut job, SlurmJobCommand::Observe(back)).is_empty());
    assert_eq!(job.status(), SlurmJobStatus::Pending);
    assert!(job.lease_restarts() < job.restarts());
    let hand = || SlurmJobCommand::HandOver { lease: Lease(2) };
    assert_eq!(act(&mut job, hand()), ["SlurmJobHandedOver"]);
    assert!(act(&mut job, hand()).is_empty());
    assert_eq!(
        (job.lease(), job.lease_restarts(), job.restarts()),
        (Lease(2), 1, 1)
    );
    assert!(
        job.decide(SlurmJobCommand::HandOver { lease: Lease(1) })
            .is_err()
    );
    // Put back and started again since the last look.
    let mut again = seen(SlurmState::Running);
    (again.restarts, again.started_at) = (2, Some(at(50)));
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(again)),
        ["SlurmJobRequeued", "SlurmJobStarted"]
    );
}

#[test]
fn a_state_that_is_not_known_is_kept_and_ends_nothing() {
    let mut job = running();
    let unknown = || seen(SlurmState::Unknown("TELEPORTING".to_owned()));
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(unknown())),
        ["SlurmStateSeen"]
    );
    assert!(act(&mut job, SlurmJobCommand::Observe(unknown())).is_empty());
    assert_eq!(job.seen_state(), Some("TELEPORTING"));
    assert_eq!(job.status(), SlurmJobStatus::Running);
}

#[test]
fn what_slurm_does_not_know_any_more_has_failed_unless_its_result_proves_the_contrary() {
    let mut gone = seen(SlurmState::Pending);
    gone.state = None;
    let mut job = running();
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(gone.clone())),
        ["SlurmJobFailed"]
    );
    assert!(job.failure().unwrap().message.contains("outcome unknown"));
    gone.proven = true;
    let mut job = running();
    assert_eq!(
        act(&mut job, SlurmJobCommand::Observe(gone)),
        ["SlurmJobCompleted"]
    );
}

#[test]
fn the_states_are_those_of_the_specification() {
    for name in ["PENDING", "CONFIGURING"] {
        assert_eq!(SlurmState::parse(name), SlurmState::Pending);
    }
    for name in ["RUNNING", "SUSPENDED"] {
        assert_eq!(SlurmState::parse(name), SlurmState::Running);
    }
    // Running, unless it was put back.
    assert_eq!(SlurmState::parse("COMPLETING"), SlurmState::Completing);
    assert_eq!(SlurmState::parse("COMPLETED"), SlurmState::Completed);
    for name in [
        "FAILED",
        "CANCELLED",
        "TIMEOUT",
        "OUT_OF_MEMORY",
        "NODE_FAIL",
        "PREEMPTED",
        "BOOT_FAIL",
        "DEADLINE",
    ] {
        let SlurmState::Failed(failure) = SlurmState::parse(name) else {
            panic!("{name}");
        };
        assert_eq!(failure.as_str(), name);
    }
    assert_eq!(
        SlurmState::parse("CANCELLED by 1000"),
        SlurmState::Failed(SlurmFailure::Cancelled)
    );
    assert_eq!(
        SlurmState::parse("TELEPORTING"),
        SlurmState::Unknown("TELEPORTING".to_owned())
    );
}
