//! Artifacts are imported beside the tables, in short transactions, and put in place with the offset.

use crate::fixture::{LIMIT, MISTUDIO, Running, World, status};
use serde_json::json;
use std::path::Path;
use trainmaster_domain::{
    Lease, Metadata, Position,
    attempt::{Claim, Report, RetryPolicy},
    id::{DatasetId, TrainingId},
    job::{Extraction, Job, JobCommand, JobWork},
    run::journal::{FeaturesExtracted, JournalRecord, Record, Scoring},
};
use trainmaster_tests::{
    artifacts::{ActivationRow, FeatureRow, write_activations, write_features},
    history::History,
};

const LATENTS: i32 = 2_048;

/// A model, a dataset, a training, and an extraction of all its latents with eight examples each.
async fn extraction(world: &mut World, directory: &Path) -> Position {
    let features: Vec<FeatureRow> = (0..LATENTS)
        .map(|neuron_index| FeatureRow {
            neuron_index,
            layer: 5,
            frequency: 0.01,
            max: 4.0,
            name: Some(format!("latent {neuron_index}")),
            description: None,
            score: Some(0.5),
        })
        .collect();
    let examples: Vec<ActivationRow> = (0..LATENTS)
        .flat_map(|neuron_index| {
            (0..8).map(move |n| ActivationRow {
                neuron_index,
                sample: Some(n),
                tokens: json!(vec![format!("token {n}"); 50]).to_string(),
                activations: json!(vec![0.5; 50]).to_string(),
                max: f64::from(8 - n),
                before: Some("before".to_owned()),
                after: None,
            })
        })
        .collect();
    let features = write_features(&directory.join("features.parquet"), &features);
    let activations = write_activations(&directory.join("activations.parquet"), &examples);
    world.live(&mut History::new(3), 40).await;
    let queue = JobCommand::Queue(
        JobWork::Extraction(Extraction {
            training_id: TrainingId::new("tr_000").unwrap(),
            dataset_id: DatasetId::new("ds_000").unwrap(),
            layers: None,
            hook_types: None,
            max_samples: None,
            top_k_examples: 8,
            context_tokens: 25,
            minimum_frequency: 0.0,
            first_feature_id: 0,
            latents: i64::from(LATENTS),
        })
        .into(),
    );
    let now = chrono::Utc::now();
    let claim = JobCommand::Claim(Claim {
        worker_id: "w".to_owned(),
        host: "h".to_owned(),
        device: "cpu".to_owned(),
        now,
    });
    let report = JobCommand::Report(Box::new(Report {
        line: JournalRecord {
            lease: Lease(1),
            seq: 1,
            at: now,
            record: Record::FeaturesExtracted(Box::new(FeaturesExtracted {
                features,
                activations,
                samples: 10,
                tokens: 2_550,
                scoring: Scoring {
                    version: 1,
                    components: vec![],
                    embedder: "model".to_owned(),
                    permuted_mean: 0.2,
                    permuted_p95: 0.4,
                },
            })),
        },
        now,
        policy: RetryPolicy::default(),
    }));
    let mut last = Position::START;
    for (number, command) in [queue, claim, report].into_iter().enumerate() {
        let metadata = Metadata {
            command_id: format!("extraction {number}"),
            correlation_id: "test".to_owned(),
            actor: "test".to_owned(),
            ..Metadata::default()
        };
        let executed = world
            .log
            .execute::<Job>("job_1", command, metadata)
            .await
            .unwrap();
        last = executed.position.unwrap();
    }
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_is_short_transactions_and_a_rebuild_gives_the_same_rows() {
    let mut world = World::new().await;
    let directory = tempfile::tempdir().unwrap();
    let last = extraction(&mut world, directory.path()).await;
    // What each transaction of the import wrote, as the tables that wait were filled.
    world
        .sql(
            "CREATE TABLE public.copied (transaction_id xid8, rows bigint);
             CREATE FUNCTION public.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$
             DECLARE
                 made record;
             BEGIN
                 FOR made IN SELECT DISTINCT object_identity FROM pg_event_trigger_ddl_commands()
                             WHERE object_type = 'table' AND object_identity LIKE '%_next' LOOP
                     EXECUTE format('CREATE TRIGGER watch AFTER INSERT ON %s REFERENCING NEW TABLE AS new
                                     FOR EACH STATEMENT EXECUTE FUNCTION public.count_rows()', made.object_identity);
                 END LOOP;
             END $$;
             CREATE FUNCTION public.count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 INSERT INTO public.copied SELECT pg_current_xact_id(), count(*) FROM new;
                 RETURN NULL;
             END $$;
             CREATE EVENT TRIGGER watch ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.watch()",
        )
        .await;
    let running = Running::start(world.projector(1_000));
    running.reaches(last).await;
    world.sql("DROP EVENT TRIGGER watch").await;
    let (transactions, rows, distinct): (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), sum(rows)::bigint, count(DISTINCT transaction_id) FROM public.copied",
    )
    .fetch_one(&world.pool)
    .await
    .unwrap();
    assert_eq!(rows, i64::from(LATENTS) * 8);
    assert!(transactions > 3, "only {transactions} pieces");
    assert_eq!(transactions, distinct, "a transaction wrote several pieces");

    let before = world.rows().await;
    let now = status(&running.projector).await;
    assert_eq!((now.gaps, now.stray_activations), (vec![], 0));
    let rebuilt = tokio::time::timeout(LIMIT, running.projector.rebuild(MISTUDIO))
        .await
        .unwrap()
        .unwrap();
    assert!(
        rebuilt
            .tables
            .iter()
            .all(|table| table.before == Some(table.after))
    );
    assert!(before == world.rows().await);

    // A file that is gone is named, the rest is built, and putting it back mends it.
    let (path, aside) = (
        directory.path().join("activations.parquet"),
        directory.path().join("aside"),
    );
    std::fs::rename(&path, &aside).unwrap();
    running.projector.rebuild(MISTUDIO).await.unwrap();
    let lacking = status(&running.projector).await.gaps;
    assert_eq!(lacking.len(), 1);
    assert_eq!(
        (lacking[0].artifact.as_str(), lacking[0].reason.as_str()),
        (path.to_str().unwrap(), "the file is missing")
    );
    assert_eq!(
        world.table("features").await.len(),
        usize::try_from(LATENTS).unwrap()
    );
    world
        .sql("DELETE FROM mistudio.trainings WHERE id = 'tr_000'")
        .await;
    assert_eq!(
        status(&running.projector).await.gaps,
        [],
        "of what is deleted, nothing is lacking"
    );
    std::fs::rename(&aside, &path).unwrap();
    running.projector.rebuild(MISTUDIO).await.unwrap();
    assert_eq!(status(&running.projector).await.gaps, []);
    assert!(before == world.rows().await);
    world
        .sql(
            "INSERT INTO mistudio.features (id, training_id, neuron_index, activation_frequency) VALUES (99999999, 'tr_000', 9999, 0);
             INSERT INTO mistudio.feature_activations (feature_id, tokens, activations, max_activation) VALUES (99999999, '[]', '[]', 0)",
        )
        .await;
    assert_eq!(status(&running.projector).await.stray_activations, 1);
    running.end().await;
}
