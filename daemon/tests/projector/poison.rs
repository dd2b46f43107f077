use crate::fixture::{LIMIT, MISTUDIO, Running, World, eventually, status};
use trainmaster::projector::{ProjectorError, ReadModelState};
use trainmaster_domain::{
    hyperparameters::Hyperparameters,
    id::{DatasetId, ModelId},
    training::{EncoderType, QueueTraining, TrainingCommand},
};
use trainmaster_tests::history::{Command, History};

/// A training of a model that was never registered: its row would break a foreign key.
fn orphan() -> Command {
    let queue = QueueTraining {
        model_id: ModelId::new("m_nobody_knows").unwrap(),
        dataset_id: DatasetId::new("ds_nobody_knows").unwrap(),
        encoder_type: EncoderType::Sparse,
        hyperparameters: Hyperparameters::default(),
        import_from: None,
        placement: None,
    };
    Command::Training("tr_orphan".to_owned(), TrainingCommand::Queue(queue))
}

#[tokio::test]
async fn an_event_that_cannot_be_applied_stops_its_read_model_and_says_so() {
    let mut world = World::new().await;
    let projector = world.projector(1_000);
    let mut history = History::new(19);
    let before = world.live(&mut history, 40).await;
    let poison = world.execute(orphan()).await;
    world.live(&mut history, 40).await;

    let running = Running::start(projector);
    let waited = running.projector.wait_for(MISTUDIO, poison, LIMIT).await;
    let Err(ProjectorError::Stopped { because, .. }) = waited else {
        panic!("{waited:?}");
    };
    assert!(because.contains(&poison.to_string()), "{because}");
    assert!(because.contains("trainings_"), "{because}");
    // All that came before it is there, and nothing after it.
    running.reaches(before).await;
    eventually("the status says so", || async {
        status(&running.projector).await.state == ReadModelState::Stopped
    })
    .await;
    let stopped = status(&running.projector).await;
    assert_eq!(stopped.position, before);
    assert!(stopped.behind_events > 0);
    assert_eq!(stopped.stopped_because, Some(because));
    assert_eq!(stopped.stopped_by, Some(poison));

    // Building anew meets the same event, and leaves what there is as it is.
    let rows = world.rows().await;
    let rebuilt = running.projector.rebuild(MISTUDIO).await;
    assert!(
        matches!(rebuilt, Err(ProjectorError::Apply { first, count: 1, .. }) if first == poison),
        "{rebuilt:?}"
    );
    assert!(rows == world.rows().await);
    // What was built up to there is not lost.
    assert_eq!(world.schemas().await, ["mistudio", "mistudio_next"]);
    running.end().await;
}

#[tokio::test]
async fn a_read_model_that_was_damaged_goes_on_once_it_is_built_anew() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(10));
    let mut history = History::new(23);
    let first = world.live(&mut history, 50).await;
    running.reaches(first).await;
    world
        .sql("ALTER TABLE mistudio.trainings ADD CHECK (updated_at < '2000-01-01') NOT VALID")
        .await;
    let mut last = first;
    for _ in 0..3 {
        last = world.live(&mut history, 20).await;
    }
    let waited = running.projector.wait_for(MISTUDIO, last, LIMIT).await;
    assert!(
        matches!(waited, Err(ProjectorError::Stopped { .. })),
        "{waited:?}"
    );
    running.projector.rebuild(MISTUDIO).await.unwrap();
    eventually("it follows again", || async {
        let status = status(&running.projector).await;
        status.state == ReadModelState::Following && status.behind_events == 0
    })
    .await;
    let next = world.live(&mut history, 20).await;
    eventually("it has come there", || async {
        status(&running.projector).await.position == next
    })
    .await;
    running.reaches(next).await;
    running.end().await;
}
