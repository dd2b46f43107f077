//! What of a training can go, and what it needs.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/events.rs"]
mod sample_events;

use sample_events::{at, claimed, dataset_id, ended, failed, metrics, model_id};
use trainmaster_domain::{
    Aggregate, Category, Lease, StreamId,
    hyperparameters::Hyperparameters,
    id::CheckpointId,
    training::{
        CheckpointSaved, EncoderType, MetricsRecorded, Prune, Queued, Started, Training,
        TrainingCommand, TrainingEvent, TrainingRefusal, TrainingStatus, Unneeded,
    },
};

fn id(step: u64) -> CheckpointId {
    CheckpointId::new(format!("cp_{step}")).unwrap()
}

fn queued() -> TrainingEvent {
    TrainingEvent::TrainingQueued(Queued {
        model_id: model_id(),
        dataset_id: dataset_id(),
        encoder_type: EncoderType::Sparse,
        hyperparameters: Hyperparameters::default(),
        total_steps: 100,
        import_from: None,
        placement: None,
    })
}

/// Checkpoints at 10, 20, 30 and 40, of which the first has the lowest loss.
fn running() -> Training {
    let mut training = Training::default();
    let mut events = vec![
        queued(),
        TrainingEvent::TrainingClaimed(claimed(1)),
        TrainingEvent::TrainingStarted(Started {
            lease: Lease(1),
            seq: 2,
            at_step: 0,
            d_in: Some(8),
            d_sae: Some(64),
        }),
    ];
    for (n, step) in (3..).step_by(2).zip([10, 20, 30, 40]) {
        events.push(TrainingEvent::MetricsRecorded(MetricsRecorded {
            progress: None,
            lease: Lease(1),
            seq: n,
            metrics: metrics(&[step]),
        }));
        events.push(TrainingEvent::CheckpointSaved(CheckpointSaved {
            lease: Lease(1),
            seq: n + 1,
            checkpoint_id: id(step),
            step,
            loss: Some(step as f64),
            sparsity: None,
            storage_path: format!("/runs/tr_1/checkpoints/{step}-1"),
            file_size_bytes: 1_000,
            sha256: "ab".repeat(32),
        }));
    }
    for event in &events {
        training.evolve(event).unwrap();
    }
    training
}

fn ended_by(event: &TrainingEvent) -> Training {
    let mut training = running();
    training.evolve(event).unwrap();
    training
}

fn prune(training: &mut Training, prune: Prune) -> Result<usize, TrainingRefusal> {
    let events = training.decide(TrainingCommand::Prune(prune))?;
    for event in &events {
        training.evolve(event).unwrap();
    }
    Ok(events.len())
}

fn checkpoint(step: u64, because: Unneeded) -> Prune {
    Prune::Checkpoint {
        id: id(step),
        because,
    }
}

#[test]
fn what_stands_in_for_a_checkpoint_must_be_there() {
    let mut training = running();
    let superseded = Unneeded::Superseded { keep_last: 2 };
    for (step, why) in [
        (40, "the training goes on from it"),
        (30, "it is one of the newest"),
        (10, "its loss is the lowest"),
    ] {
        let refused = prune(&mut training, checkpoint(step, superseded));
        assert_eq!(refused, Err(TrainingRefusal::Needed { id: id(step), why }));
    }
    assert_eq!(prune(&mut training, checkpoint(20, superseded)), Ok(1));
    assert_eq!(
        prune(&mut training, checkpoint(20, superseded)),
        Ok(0),
        "gone"
    );
    let steps: Vec<u64> = training
        .checkpoints()
        .iter()
        .map(|kept| kept.step)
        .collect();
    assert_eq!(steps, [10, 30, 40]);
    assert!(matches!(
        prune(&mut training, checkpoint(10, Unneeded::Expired)),
        Err(TrainingRefusal::Needed {
            why: "the training has not ended",
            ..
        })
    ));
}

#[test]
fn a_training_that_failed_keeps_what_a_retry_needs_and_one_that_stopped_keeps_nothing() {
    let mut training = ended_by(&TrainingEvent::TrainingFailed(failed()));
    assert!(prune(&mut training, checkpoint(40, Unneeded::Expired)).is_err());
    assert_eq!(
        prune(&mut training, checkpoint(10, Unneeded::Expired)),
        Ok(1)
    );
    let mut training = ended_by(&TrainingEvent::TrainingStopped(ended()));
    for step in [10, 20, 30, 40] {
        assert_eq!(
            prune(&mut training, checkpoint(step, Unneeded::Expired)),
            Ok(1)
        );
    }
    assert!(training.checkpoints().is_empty());
}

#[test]
fn metrics_and_activations_go_once_the_training_has_ended() {
    let before = |second| Prune::Metrics { before: at(second) };
    let activations = |keep_top, minimum| Prune::Activations { keep_top, minimum };
    let mut training = running();
    assert!(prune(&mut training, before(5)).is_err());
    assert!(prune(&mut training, activations(100, 0.1)).is_err());
    let mut training = ended_by(&TrainingEvent::TrainingStopped(ended()));
    assert_eq!(prune(&mut training, before(5)), Ok(1));
    assert_eq!(prune(&mut training, before(5)), Ok(0));
    assert_eq!(prune(&mut training, before(6)), Ok(1));
    assert_eq!(prune(&mut training, activations(100, 0.1)), Ok(1));
    for prune_nothing in [activations(0, 0.1), activations(100, f64::NAN)] {
        assert_eq!(
            prune(&mut training, prune_nothing),
            Err(TrainingRefusal::Activations)
        );
    }
}

#[test]
fn a_training_that_runs_is_not_deleted_and_nothing_follows_a_deletion() {
    let training = running();
    let refusal = training.decide(TrainingCommand::Delete).unwrap_err();
    assert!(refusal.to_string().contains("stop it first"), "{refusal}");
    assert!(
        running()
            .evolve(&TrainingEvent::TrainingDeleted {})
            .is_err()
    );
    for before in [
        ended_by(&TrainingEvent::TrainingStopped(ended())),
        ended_by(&TrainingEvent::TrainingFailed(failed())),
    ] {
        let mut training = before;
        let events = training.decide(TrainingCommand::Delete).unwrap();
        assert_eq!(events, [TrainingEvent::TrainingDeleted {}]);
        training.evolve(&events[0]).unwrap();
        assert!(training.is_deleted() && training.result().is_none());
        for command in [
            TrainingCommand::Delete,
            TrainingCommand::Retry,
            TrainingCommand::Resume,
            TrainingCommand::RequestStop,
            TrainingCommand::RequestPause,
            TrainingCommand::Prune(checkpoint(10, Unneeded::Expired)),
        ] {
            assert!(
                matches!(
                    training.decide(command.clone()),
                    Err(TrainingRefusal::NotAllowed {
                        status: "deleted",
                        ..
                    })
                ),
                "{command:?}"
            );
        }
        assert!(training.evolve(&queued()).is_err());
        assert_eq!(training.status(), TrainingStatus::Deleted);
    }
}

#[test]
fn a_training_needs_its_model_and_its_dataset() {
    let mut training = Training::default();
    training.evolve(&queued()).unwrap();
    assert_eq!(
        training.needs(&[queued()]),
        [
            StreamId::new(Category::Model, model_id().as_str()),
            StreamId::new(Category::Dataset, dataset_id().as_str())
        ]
    );
    assert_eq!(training.needs(&[TrainingEvent::TrainingResumed {}]), []);
}
