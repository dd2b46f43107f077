//! The second read model beside the first: followed, built, verified, stopped and replaced each for itself.

use crate::fixture::{LIMIT, MISTUDIO, PIC, Running, World, eventually};
use serde_json::json;
use tokio::sync::watch;
use trainmaster::projector::{DifferenceKind, ProjectorError, ReadModelState};
use trainmaster_domain::{
    id::TrainingId,
    job::{JobCommand, JobWork, Prediction, PredictionInput, Queued},
    segmentation::SegmentationSettings,
    training::{QueueSegmentation, TrainingCommand},
};
use trainmaster_tests::history::{Command, History};

fn segmentation(id: &str) -> Command {
    let queue = QueueSegmentation {
        name: "heart".to_owned(),
        images_path: "/data/images".to_owned(),
        labels_path: "/data/labels".to_owned(),
        settings: SegmentationSettings::default(),
        fold: None,
        placement: None,
    };
    Command::Training(
        id.to_owned(),
        TrainingCommand::QueueSegmentation(Box::new(queue)),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_before_gets_the_tables_when_the_daemon_starts() {
    let mut world = World::new().await;
    let mut history = History::new(3).with_clusters();
    // As a release that did not know them had left it.
    let earlier = trainmaster::projector::Projector::of(
        &[MISTUDIO],
        world.log.clone(),
        world.pool.clone(),
        trainmaster::projector::ProjectorOptions::default(),
    );
    let running = Running::start(earlier);
    let last = world.live(&mut history, 300).await;
    running.reaches(last).await;
    running.end().await;
    let studio = world.rows().await;
    let is_there = "SELECT to_regnamespace('pic') IS NOT NULL";
    let there: bool = sqlx::query_scalar(is_there)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(!there);

    let running = Running::start(world.projector(50));
    running.all_reach(last).await;
    let rows = world.rows_of(PIC).await;
    assert!(
        rows.iter().filter(|(_, rows)| !rows.is_empty()).count() >= 2,
        "{rows:?}"
    );
    assert!(studio == world.rows().await);
    for status in running.projector.status().await.unwrap() {
        assert_eq!(
            (status.state, status.behind_events, status.stray_activations),
            (ReadModelState::Following, 0, 0),
            "{status:?}"
        );
        assert!(status.gaps.is_empty() && status.differences.is_empty());
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_cannot_go_on_stops_itself_alone_whichever_it_is() {
    let mut world = World::new().await;
    let mut history = History::new(5).with_clusters();
    let running = Running::start(world.projector(20));
    let before = world.live(&mut history, 60).await;
    running.all_reach(before).await;
    // A job that SLURM never had.
    world
        .sql(
            "INSERT INTO log.open_events (version, schema_version, ordinal, category, stream_id, type, command_id, correlation_id, actor, payload,
                                          transaction_id, recorded_at, previous_hash, hash)
             VALUES (1, 1, 1, 'slurm_job', 'ghost', 'SlurmJobCompleted', 'haunted', 'haunted', 'a superuser',
                     '{\"at\": \"2026-10-01T00:00:00Z\"}', 0, '-infinity', '', '')",
        )
        .await;
    let poison = world.log.next_position(before).await.unwrap().unwrap();
    let last = world.live(&mut history, 60).await;
    let waited = running.projector.wait_for(PIC, last, LIMIT).await;
    assert!(
        matches!(waited, Err(ProjectorError::Stopped { .. })),
        "{waited:?}"
    );
    running.reaches(last).await;
    eventually("the status names the event", || async {
        let all = running.projector.status().await.unwrap();
        (all[0].state, all[1].state, all[1].stopped_by)
            == (
                ReadModelState::Following,
                ReadModelState::Stopped,
                Some(poison),
            )
    })
    .await;
    running.projector.rebuild(MISTUDIO).await.unwrap();
    running.end().await;

    // The other way round: a damaged table of the studio's is none of the cluster's.
    let mut world = World::new().await;
    let running = Running::start(world.projector(20));
    let mut history = History::new(7).with_clusters();
    let before = world.live(&mut history, 80).await;
    running.all_reach(before).await;
    world
        .sql("ALTER TABLE mistudio.trainings ADD CHECK (updated_at < '2000-01-01') NOT VALID")
        .await;
    let last = world.live(&mut history, 80).await;
    let waited = running.projector.wait_for(MISTUDIO, last, LIMIT).await;
    assert!(
        matches!(waited, Err(ProjectorError::Stopped { .. })),
        "{waited:?}"
    );
    running.projector.wait_for(PIC, last, LIMIT).await.unwrap();
    running.projector.rebuild(MISTUDIO).await.unwrap();
    eventually("it follows again", || async {
        let all = running.projector.status().await.unwrap();
        all[0].state == ReadModelState::Following && all[0].behind_events == 0
    })
    .await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_was_interrupted_right_after_the_swap_is_in_nobody_s_way() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(50));
    let last = world.execute(segmentation("seg_1")).await;
    running.all_reach(last).await;
    world
        .sql(
            "CREATE SCHEMA pic_old;
             DO $$ BEGIN EXECUTE format('COMMENT ON SCHEMA pic_old IS %L',
                (SELECT obj_description('pic'::regnamespace, 'pg_namespace'))); END $$",
        )
        .await;
    let rebuilt = running.projector.rebuild(PIC).await.unwrap();
    assert_eq!((rebuilt.position, rebuilt.not_compared), (last, None));
    let left: bool = sqlx::query_scalar("SELECT to_regnamespace('pic_old') IS NOT NULL")
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert!(!left);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_wrote_by_hand_is_found_row_by_row_and_replaced() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(50));
    for n in 0..3 {
        world.execute(segmentation(&format!("seg_{n}"))).await;
    }
    let last = world.execute(segmentation("seg_3")).await;
    running.all_reach(last).await;
    let rows = world.rows_of(PIC).await;
    world
        .sql(
            "UPDATE pic.training SET progress = 99 WHERE id = 'seg_1';
             INSERT INTO pic.model VALUES ('theirs', 'seg_2', 'by hand', NULL);
             INSERT INTO pic.inference (predict_id, model_id, input_data, status) VALUES ('mine', 'theirs', '{}', 'PENDING')",
        )
        .await;
    let verified = running
        .projector
        .verify(PIC, &watch::Sender::default())
        .await
        .unwrap();
    assert!(!verified.is_same);
    let found: Vec<_> = verified
        .tables
        .iter()
        .filter_map(|table| Some((table.table, table.first_difference.clone()?)))
        .map(|(table, first)| (table, first.id, first.kind))
        .collect();
    let of = |table, id: &str, kind| (table, id.to_owned(), kind);
    assert_eq!(
        found,
        [
            of("training", "seg_1", DifferenceKind::Altered),
            of("model", "theirs", DifferenceKind::NotFromTheLog),
            of("inference", "mine", DifferenceKind::NotFromTheLog),
        ]
    );
    let status = running.projector.status().await.unwrap();
    assert_eq!(status[1].differences.len(), 3);
    assert!(status[0].differences.is_empty());
    running.projector.rebuild(PIC).await.unwrap();
    assert_eq!(world.rows_of(PIC).await, rows);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_version_made_is_built_anew_while_it_is_read_and_the_other_read_model_stays() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(50));
    let last = world.execute(segmentation("seg_1")).await;
    running.all_reach(last).await;
    running.end().await;
    world
        .sql(
            "UPDATE projection.offsets SET version = '1-before' WHERE schema_name = 'pic';
             UPDATE pic.training SET name = 'as an older version did it';
             ALTER TABLE pic.jobs DROP COLUMN sbatch_content",
        )
        .await;
    let made = "SELECT oid::bigint FROM pg_namespace WHERE nspname = 'mistudio'";
    let studio: i64 = sqlx::query_scalar(made)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    let running = Running::start(world.projector(50));
    running.all_reach(last).await;
    let training = world.table_of(PIC, "training").await.remove(0);
    assert_eq!(training["name"], json!("heart"));
    let job = world.table_of(PIC, "jobs").await.remove(0);
    assert!(job.as_object().unwrap().contains_key("sbatch_content"));
    let still: i64 = sqlx::query_scalar(made)
        .fetch_one(&world.pool)
        .await
        .unwrap();
    assert_eq!(studio, still);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prediction_of_a_model_that_is_not_there_has_no_row_and_stops_nobody() {
    let mut world = World::new().await;
    let running = Running::start(world.projector(50));
    let work = JobWork::Prediction(Prediction {
        model_id: "6f1c9a52-0a7e-5f0e-9d52-3f0a53c1b111".to_owned(),
        training_id: TrainingId::new("seg_nobody_knows").unwrap(),
        input: PredictionInput {
            images: vec!["/data/1.png".to_owned()],
            labels_path: None,
        },
        output_dir: "/predictions".to_owned(),
    });
    let queue = JobCommand::Queue(Queued {
        work,
        placement: None,
    });
    world.execute(Command::Job("job_1".to_owned(), queue)).await;
    let last = world
        .execute(Command::Job("job_1".to_owned(), JobCommand::RequestCancel))
        .await;
    running.all_reach(last).await;
    assert!(world.table_of(PIC, "inference").await.is_empty());
    running.end().await;
}
