//! No sequence of commands brings a training into an illegal state.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/events.rs"]
mod sample_events;

use proptest::prelude::*;
use sample_events::{at, dataset_id, evaluated_site, every_event, metrics, model_id};
use trainmaster_domain::{
    Aggregate, Event, Lease,
    attempt::{Claim, LeaseRefusal, Loss, LossReason, Report, RetryPolicy},
    hyperparameters::{Hook, HookSite, Hyperparameters},
    run::{
        control::Request,
        journal::{
            AtStep, CheckpointSaved, Evaluated, Failure, FailureClass, Finished, JournalRecord,
            Record, TrainingStarted,
        },
    },
    training::{
        EncoderType, QueueTraining, Training, TrainingCommand, TrainingEvent, TrainingRefusal,
        TrainingStatus,
    },
};

const STEPS: u64 = 20;

fn queue() -> TrainingCommand {
    TrainingCommand::Queue(QueueTraining {
        model_id: model_id(),
        dataset_id: dataset_id(),
        encoder_type: EncoderType::Sparse,
        hyperparameters: Hyperparameters {
            training_steps: STEPS as u32,
            ..Hyperparameters::default()
        },
        import_from: None,
        placement: None,
    })
}

fn claim(second: i64) -> TrainingCommand {
    TrainingCommand::Claim(Claim {
        worker_id: "w".into(),
        host: "h".into(),
        device: "cpu".into(),
        now: at(second),
    })
}

fn policy() -> RetryPolicy {
    RetryPolicy {
        max_crashes: 2,
        backoff_initial_ms: 1_000,
        backoff_max_ms: 4_000,
    }
}

fn report(lease: u64, seq: u64, record: Record) -> TrainingCommand {
    TrainingCommand::Report(Box::new(Report {
        line: JournalRecord {
            lease: Lease(lease),
            seq,
            at: at(0),
            record,
        },
        now: at(0),
        policy: policy(),
    }))
}

fn started(at_step: u64) -> Record {
    Record::TrainingStarted(TrainingStarted {
        at_step,
        d_in: Some(8),
        d_sae: Some(64),
    })
}

fn saved(step: u64) -> Record {
    Record::CheckpointSaved(CheckpointSaved {
        step,
        loss: None,
        sparsity: None,
        path: format!("/c/{step}"),
        file_size_bytes: 1,
        sha256: "00".repeat(32),
    })
}

fn finished(step: u64) -> Finished {
    Finished {
        step,
        path: "/r".into(),
        sha256: "11".repeat(32),
    }
}

fn lose(lease: u64) -> TrainingCommand {
    TrainingCommand::LoseLease(Loss {
        lease: Lease(lease),
        reason: LossReason::Exited,
        message: "It exited with signal 9.".into(),
        now: at(0),
        policy: policy(),
    })
}

/// Does what the command causes; panics when a decision is not a legal transition.
fn act(
    training: &mut Training,
    command: TrainingCommand,
) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
    let events = training.decide(command)?;
    for event in &events {
        training
            .evolve(event)
            .expect("what was decided is a legal transition");
    }
    Ok(events)
}

fn acted(commands: Vec<TrainingCommand>) -> Training {
    let mut training = Training::default();
    for command in commands {
        act(&mut training, command).unwrap();
    }
    training
}

fn evaluated(step: u64) -> Record {
    Record::Evaluated(Evaluated {
        step,
        sites: vec![evaluated_site()],
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let step = 0..=STEPS + 2;
    prop_oneof![
        step.clone().prop_map(started),
        Just(started(0)),
        (step.clone(), 1..5u64)
            .prop_map(|(from, n)| Record::Metrics(metrics(&(from..from + n).collect::<Vec<_>>()))),
        step.clone().prop_map(saved),
        step.clone().prop_map(evaluated),
        step.clone()
            .prop_map(|step| Record::Paused(AtStep { step })),
        step.clone()
            .prop_map(|step| Record::Stopped(finished(step))),
        step.prop_map(|step| Record::Completed(finished(step))),
        Just(Record::Completed(finished(STEPS))),
        any::<bool>().prop_map(|workload| Record::Failed(Failure {
            class: if workload {
                FailureClass::Workload
            } else {
                FailureClass::Infrastructure
            },
            code: "internal".into(),
            message: "It broke.".into(),
        })),
    ]
}

fn any_command() -> impl Strategy<Value = TrainingCommand> {
    let lease = 0..6u64;
    prop_oneof![
        1 => Just(queue()),
        6 => (0..30i64).prop_map(claim),
        12 => (lease.clone(), 0..30u64, any_record()).prop_map(|(lease, seq, record)| report(lease, seq, record)),
        2 => Just(TrainingCommand::RequestPause),
        1 => lease.clone().prop_map(|lease| TrainingCommand::EndOverduePause { lease: Lease(lease) }),
        3 => Just(TrainingCommand::Resume),
        1 => Just(TrainingCommand::RequestStop),
        3 => Just(TrainingCommand::Retry),
        2 => lease.prop_map(lose),
    ]
}

/// Commands as a daemon sends them: reports carry the current lease and continue the step, so that runs get far.
fn plausible(training: &Training, command: TrainingCommand, seq: u64) -> TrainingCommand {
    match command {
        TrainingCommand::Report(mut report) => {
            report.line.lease = training.attempts().lease;
            report.line.seq = seq;
            let resume = training
                .latest_checkpoint()
                .map_or(0, |checkpoint| checkpoint.step);
            match &mut report.line.record {
                Record::TrainingStarted(started) => started.at_step = resume,
                Record::Metrics(batch) => {
                    let next = training.current_step() + 1;
                    *batch = metrics(&(next..next + batch.steps.len() as u64).collect::<Vec<_>>());
                }
                Record::CheckpointSaved(saved) => saved.step = training.current_step().max(1),
                Record::Paused(at) => at.step = resume,
                _ => {}
            }
            TrainingCommand::Report(report)
        }
        TrainingCommand::LoseLease(mut loss) => {
            loss.lease = training.attempts().lease;
            TrainingCommand::LoseLease(loss)
        }
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_commands_reaches_an_illegal_state(
        commands in prop::collection::vec((any_command(), any::<bool>()), 1..120)
    ) {
        let mut training = Training::default();
        let mut history = Vec::new();
        let _ = act(&mut training, queue()).map(|events| history.extend(events));
        for (n, (command, wild)) in commands.into_iter().enumerate() {
            let command = if wild { command } else { plausible(&training, command, n as u64 + 1) };
            let before = training.clone();
            match act(&mut training, command) {
                Ok(events) => {
                    prop_assert!(!before.status().is_terminal() || events.is_empty());
                    history.extend(events);
                }
                Err(_) => prop_assert_eq!(&before, &training),
            }
            prop_assert!(training.current_step() <= training.total_steps());
            prop_assert!(training.attempts().lease >= before.attempts().lease);
            prop_assert_eq!(training.attempts().live, training.status().is_running());
            prop_assert!(training.requested() != Some(Request::Pause) || training.status() != TrainingStatus::Paused);
        }
        prop_assert!(history.iter().filter(|event| event.is_terminal()).count() <= 1);

        // The state is a function of the history, and every prefix of it can be told.
        let mut told = Training::default();
        for event in &history {
            prop_assert!(told.evolve(event).is_ok());
        }
        prop_assert_eq!(told, training);
    }

    #[test]
    fn any_history_however_damaged_is_refused_without_a_panic(
        picks in prop::collection::vec(0..every_event().len(), 0..60)
    ) {
        let events = every_event();
        let (mut training, mut model, mut dataset, mut job, mut feature, mut template, mut extraction, mut preset) = (
            Training::default(),
            trainmaster_domain::model::Model::default(),
            trainmaster_domain::dataset::Dataset::default(),
            trainmaster_domain::job::Job::default(),
            trainmaster_domain::feature::Feature::default(),
            trainmaster_domain::training_template::KeptTrainingTemplate::default(),
            trainmaster_domain::extraction_template::KeptExtractionTemplate::default(),
            trainmaster_domain::preset::KeptPreset::default(),
        );
        let (mut slurm, mut validation) = (
            trainmaster_domain::slurm::SlurmJob::default(),
            trainmaster_domain::cross_validation::CrossValidation::default(),
        );
        for pick in picks {
            match &events[pick] {
                Event::Training(event) => { let _ = training.evolve(event); }
                Event::Model(event) => { let _ = model.evolve(event); }
                Event::Dataset(event) => { let _ = dataset.evolve(event); }
                Event::Job(event) => { let _ = job.evolve(event); }
                Event::Feature(event) => { let _ = feature.evolve(event); }
                Event::TrainingTemplate(event) => { let _ = template.evolve(event); }
                Event::ExtractionTemplate(event) => { let _ = extraction.evolve(event); }
                Event::Preset(event) => { let _ = preset.evolve(event); }
                Event::SlurmJob(event) => { let _ = slurm.evolve(event); }
                Event::CrossValidation(event) => { let _ = validation.evolve(event); }
            }
        }
    }
}

#[test]
fn a_superseded_lease_is_refused() {
    let mut training = acted(vec![
        queue(),
        claim(0),
        report(1, 2, started(0)),
        lose(1),
        claim(10),
    ]);
    let refusal = act(&mut training, report(1, 3, Record::Metrics(metrics(&[1])))).unwrap_err();
    assert_eq!(
        refusal,
        TrainingRefusal::Lease(LeaseRefusal::Stale {
            given: Lease(1),
            current: Lease(2),
            live: true
        })
    );
}

#[test]
fn a_line_of_the_journal_counts_once() {
    let mut training = acted(vec![queue(), claim(0), report(1, 2, started(0))]);
    let line = || report(1, 3, Record::Metrics(metrics(&[1, 2])));
    assert_eq!(act(&mut training, line()).unwrap().len(), 1);
    assert_eq!(act(&mut training, line()).unwrap(), vec![]);
}

#[test]
fn a_back_off_that_a_wrong_clock_has_set_is_not_waited_for() {
    let mut training = acted(vec![queue(), claim(0)]);
    act(&mut training, lose(1)).unwrap();
    // The clock was ahead by 40 days, and has been set right.
    assert!(act(&mut training, claim(-40 * 86_400)).is_ok());
}

#[test]
fn losses_in_a_row_are_retried_with_a_growing_back_off_up_to_a_cap() {
    let mut training = acted(vec![queue(), claim(0)]);
    let wait = |events: &[TrainingEvent]| match events {
        [
            TrainingEvent::TrainingLeaseExpired(_),
            TrainingEvent::TrainingRetried(retried),
        ] => retried.not_before.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(&act(&mut training, lose(1)).unwrap()), at(1));
    assert!(matches!(
        act(&mut training, claim(0)),
        Err(TrainingRefusal::Lease(LeaseRefusal::TooEarly { .. }))
    ));
    act(&mut training, claim(1)).unwrap();
    assert_eq!(wait(&act(&mut training, lose(2)).unwrap()), at(2));
    act(&mut training, claim(2)).unwrap();
    let events = act(&mut training, lose(3)).unwrap();
    assert!(
        matches!(&events[1], TrainingEvent::TrainingErrored(failed) if failed.code == "poison"),
        "{events:?}"
    );
    assert_eq!(training.status(), TrainingStatus::Error);
    act(&mut training, TrainingCommand::Retry).unwrap();
    assert_eq!(
        (training.status(), training.attempts().crashes),
        (TrainingStatus::Queued, 0)
    );
}

#[test]
fn a_checkpoint_between_losses_starts_the_count_again() {
    let mut training = acted(vec![
        queue(),
        claim(0),
        lose(1),
        claim(9),
        report(2, 2, started(0)),
    ]);
    assert_eq!(training.attempts().crashes, 1);
    act(&mut training, report(2, 3, Record::Metrics(metrics(&[5])))).unwrap();
    act(&mut training, report(2, 4, saved(5))).unwrap();
    assert_eq!(training.attempts().crashes, 0);
}

#[test]
fn a_retry_goes_on_from_the_latest_checkpoint() {
    let mut training = acted(vec![
        queue(),
        claim(0),
        report(1, 2, started(0)),
        report(1, 3, Record::Metrics(metrics(&[5]))),
        report(1, 4, saved(5)),
        report(1, 5, Record::Metrics(metrics(&[9]))),
        lose(1),
        claim(9),
    ]);
    assert!(matches!(
        act(&mut training, report(2, 1, started(9))),
        Err(TrainingRefusal::Unbelievable(_))
    ));
    act(&mut training, report(2, 2, started(5))).unwrap();
    assert_eq!(training.current_step(), 5);
}

#[test]
fn an_evaluation_counts_once_a_step_and_only_with_numbers() {
    let mut training = acted(vec![
        queue(),
        claim(0),
        report(1, 2, started(0)),
        report(1, 3, Record::Metrics(metrics(&[5]))),
        report(1, 4, saved(5)),
    ]);
    assert_eq!(
        act(&mut training, report(1, 5, evaluated(5)))
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        act(&mut training, report(1, 6, evaluated(5)))
            .unwrap()
            .len(),
        0
    );
    let Record::Evaluated(mut broken) = evaluated(7) else {
        unreachable!()
    };
    broken.sites[0].ce_clean = f64::INFINITY;
    let refusal = act(&mut training, report(1, 7, Record::Evaluated(broken))).unwrap_err();
    assert!(
        matches!(refusal, TrainingRefusal::Unbelievable(_)),
        "{refusal}"
    );
    assert!(act(&mut training, report(1, 7, evaluated(STEPS + 1))).is_err());
    // An attempt that begins again measures what has been measured.
    act(&mut training, lose(1)).unwrap();
    act(&mut training, claim(1_000)).unwrap();
    act(&mut training, report(2, 2, started(5))).unwrap();
    assert_eq!(
        act(&mut training, report(2, 3, evaluated(5)))
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn a_transcoder_wants_the_hook_of_an_mlp() {
    let TrainingCommand::Queue(asked) = queue() else {
        unreachable!()
    };
    let site = |layer, hook| HookSite { layer, hook };
    for (encoder_type, hook, hooks, is_fine) in [
        (EncoderType::Sparse, Hook::Residual, None, true),
        (EncoderType::Transcoder, Hook::Residual, None, false),
        (EncoderType::Skip, Hook::Attention, None, false),
        (EncoderType::Transcoder, Hook::Mlp, None, true),
        (
            EncoderType::Skip,
            Hook::Residual,
            Some(vec![site(1, Hook::Mlp), site(2, Hook::Mlp)]),
            true,
        ),
        (
            EncoderType::Skip,
            Hook::Mlp,
            Some(vec![site(1, Hook::Mlp), site(2, Hook::Residual)]),
            false,
        ),
    ] {
        let mut asked = asked.clone();
        asked.encoder_type = encoder_type;
        asked.hyperparameters.hook = hook;
        asked.hyperparameters.hooks = hooks;
        let decided = Training::default().decide(TrainingCommand::Queue(asked));
        match decided {
            Ok(_) => assert!(is_fine, "{encoder_type:?}"),
            Err(refusal) => {
                assert_eq!(refusal, TrainingRefusal::NotAnMlp(encoder_type.as_str()));
                assert!(!is_fine && refusal.to_string().contains("mlp"));
            }
        }
    }
}

#[test]
fn a_pause_rests_at_the_checkpoint_that_was_just_saved_and_resumes_there() {
    let mut training = acted(vec![
        queue(),
        claim(0),
        report(1, 2, started(0)),
        TrainingCommand::RequestPause,
        report(1, 3, saved(7)),
        report(1, 4, Record::Paused(AtStep { step: 7 })),
    ]);
    assert_eq!(
        (training.status(), training.current_step()),
        (TrainingStatus::Paused, 7)
    );
    assert!(act(&mut training, TrainingCommand::RequestPause).is_err());
    act(&mut training, TrainingCommand::Resume).unwrap();
    assert_eq!(
        (training.status(), training.requested()),
        (TrainingStatus::Queued, None)
    );
}

#[test]
fn a_pause_that_is_not_answered_is_ended_by_force() {
    let mut training = acted(vec![
        queue(),
        claim(0),
        report(1, 2, started(0)),
        TrainingCommand::RequestPause,
    ]);
    act(
        &mut training,
        TrainingCommand::EndOverduePause { lease: Lease(1) },
    )
    .unwrap();
    assert_eq!(
        (training.status(), training.current_step()),
        (TrainingStatus::Paused, 0)
    );
    assert!(act(&mut training, report(1, 3, saved(7))).is_err());
}

#[test]
fn a_run_that_is_lost_while_it_was_to_pause_is_paused() {
    let mut training = acted(vec![
        queue(),
        claim(0),
        report(1, 2, started(0)),
        TrainingCommand::RequestPause,
    ]);
    act(&mut training, lose(1)).unwrap();
    assert_eq!(training.status(), TrainingStatus::Paused);
}

#[test]
fn stopping_what_never_ran_ends_it_and_stopping_what_rests_makes_a_result_of_it() {
    let mut never_ran = acted(vec![queue()]);
    act(&mut never_ran, TrainingCommand::RequestStop).unwrap();
    assert_eq!(
        (never_ran.status(), never_ran.result()),
        (TrainingStatus::Stopped, None)
    );

    let mut rests = acted(vec![
        queue(),
        claim(0),
        report(1, 2, started(0)),
        report(1, 3, saved(7)),
        report(1, 4, Record::Paused(AtStep { step: 7 })),
        TrainingCommand::RequestStop,
    ]);
    assert_eq!(
        (rests.status(), rests.requested()),
        (TrainingStatus::Queued, Some(Request::Stop))
    );
    act(&mut rests, claim(0)).unwrap();
    act(&mut rests, report(2, 2, started(7))).unwrap();
    act(&mut rests, report(2, 3, Record::Stopped(finished(7)))).unwrap();
    assert_eq!(rests.status(), TrainingStatus::Stopped);
    assert!(rests.result().is_some());
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    let TrainingCommand::Queue(mut asked) = queue() else {
        unreachable!()
    };
    asked.hyperparameters.learning_rate = f64::NAN;
    let refusal = Training::default()
        .decide(TrainingCommand::Queue(asked))
        .unwrap_err();
    assert!(refusal.to_string().contains("learningRate"), "{refusal}");
}

#[test]
fn an_autoencoder_from_elsewhere_is_a_training_without_steps() {
    let mut training = Training::default();
    let import = TrainingCommand::Queue(QueueTraining {
        model_id: model_id(),
        dataset_id: dataset_id(),
        encoder_type: EncoderType::Transcoder,
        // No steps: what would be refused of a training.
        hyperparameters: Hyperparameters {
            training_steps: 0,
            hook: Hook::Mlp,
            ..Hyperparameters::default()
        },
        import_from: Some("/srv/autoencoders/a".into()),
        placement: None,
    });
    act(&mut training, import).unwrap();
    assert_eq!(training.total_steps(), 0);
    act(&mut training, claim(0)).unwrap();
    act(&mut training, report(1, 1, started(0))).unwrap();
    act(&mut training, report(1, 2, Record::Completed(finished(0)))).unwrap();
    assert_eq!(training.status(), TrainingStatus::Completed);
    assert!(training.result().is_some());
}
