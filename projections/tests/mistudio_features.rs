//! Features and their examples are what artifacts and people say of them.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/lab.rs"]
mod lab;
#[path = "support/tables.rs"]
mod tables;

use lab::{D_SAE, Lab, examples, latents};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use tables::MISTUDIO;
use trainmaster_domain::RecordedEvent;
use trainmaster_projections::Serials;
use trainmaster_tests::postgres::TestDatabase;

/// Applies events in pieces of so many.
async fn build(pool: &PgPool, schema: &str, events: &[RecordedEvent], most: usize) -> Serials {
    tables::create(pool, MISTUDIO, schema).await;
    let mut serials = Serials::default();
    for piece in events.chunks(most) {
        tables::apply(pool, MISTUDIO, schema, &mut serials, piece)
            .await
            .unwrap();
    }
    serials
}

/// The same, one event at a time, with everything prepared that can be.
async fn build_prepared(pool: &PgPool, schema: &str, events: &[RecordedEvent]) -> Serials {
    tables::create(pool, MISTUDIO, schema).await;
    let mut serials = Serials::default();
    for event in events {
        if MISTUDIO.is_bulk(&event.event) {
            prepare(pool, schema, &serials, event).await;
        }
        tables::apply(
            pool,
            MISTUDIO,
            schema,
            &mut serials,
            std::slice::from_ref(event),
        )
        .await
        .unwrap();
    }
    serials
}

async fn prepare(pool: &PgPool, schema: &str, serials: &Serials, event: &RecordedEvent) {
    let mut connection = pool.acquire().await.unwrap().detach();
    MISTUDIO
        .prepare(&mut connection, schema, serials, event)
        .await
        .unwrap();
}

async fn ask<T>(pool: &PgPool, sql: &'static str) -> Vec<T>
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

async fn gaps(pool: &PgPool, schema: &str) -> Vec<(String, String, String)> {
    sqlx::query_as("SELECT event, artifact, reason FROM projection.gaps WHERE schema_name = $1 ORDER BY sequence")
        .bind(schema)
        .fetch_all(pool)
        .await
        .unwrap()
}

async fn both(pool: &PgPool, schema: &str) -> (Vec<Value>, Vec<Value>) {
    (
        tables::rows(pool, MISTUDIO, schema, "features").await,
        tables::rows(pool, MISTUDIO, schema, "feature_activations").await,
    )
}

/// A feature's row by its id.
fn feature(rows: &[Value], id: i64) -> &Value {
    rows.iter().find(|row| row["id"] == json!(id)).unwrap()
}

fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn an_extraction_becomes_rows_in_the_partitions_of_its_block() {
    let pool = TestDatabase::new().await.pool().await;
    let mut lab = Lab::new();
    let found = [0, 7, 999, 1_000, D_SAE, 2_999];
    lab.extract(
        "job_1",
        "tr_1",
        20_000,
        &latents(&found, 1),
        &examples(&found, 1),
    );
    build(&pool, "mistudio", &lab.events, usize::MAX).await;

    let (features, activations) = both(&pool, "mistudio").await;
    assert_eq!(
        ids(&features),
        found.map(|neuron| 20_000 + i64::from(neuron))
    );
    let scored_at = lab.events[lab.events.len() - 2].recorded_at;
    let extracted_at = lab.events[lab.events.len() - 4].recorded_at;
    let row = feature(&features, 20_007);
    assert_eq!(
        row["created_at"],
        json!(extracted_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, false))
    );
    assert_eq!(
        row["updated_at"],
        json!(scored_at.to_rfc3339_opts(chrono::SecondsFormat::Micros, false))
    );
    for (column, value) in [
        ("training_id", json!("tr_1")),
        ("neuron_index", json!(7)),
        ("layer", json!(5)),
        ("name", json!("latent 7 as of 1")),
        ("description", json!("found 1 times")),
        ("activation_frequency", json!(0.01)),
        ("max_activation_value", json!(10)),
        ("interpretability_score", json!(0.25)),
        ("is_favorite", json!(false)),
        ("is_hidden", json!(false)),
    ] {
        assert_eq!(
            row[column].to_string().trim_end_matches(".0"),
            value.to_string().trim_end_matches(".0"),
            "{column}"
        );
    }
    assert_eq!(
        feature(&features, 20_000 + i64::from(D_SAE))["layer"],
        json!(9)
    );

    assert_eq!(ids(&activations), (1..=12).collect::<Vec<i64>>());
    let row = &activations[2];
    assert_eq!(row["feature_id"], json!(20_007));
    assert_eq!(row["tokens"], json!(["It", " is\u{fffd}", "\n", "\"a\""]));
    assert_eq!(row["activations"][2].as_f64(), Some(100.0));
    assert_eq!(
        (
            row["dataset_sample_id"].as_str(),
            row["sample_index"].as_i64()
        ),
        (Some("ds_1/0"), Some(0))
    );
    assert_eq!(
        (row["context_before"].as_str(), &row["context_after"]),
        (Some("before 0\u{fffd}"), &Value::Null)
    );
    let placed: Vec<String> = ask(
        &pool,
        "SELECT tableoid::regclass || ' ' || count(*) FROM mistudio.feature_activations GROUP BY tableoid ORDER BY 1",
    )
    .await;
    assert_eq!(
        placed,
        [
            "mistudio.feature_activations_20000 6",
            "mistudio.feature_activations_21000 4",
            "mistudio.feature_activations_22000 2",
        ]
    );
    assert_eq!(gaps(&pool, "mistudio").await, []);
}

#[tokio::test]
async fn a_filled_partition_is_like_one_that_the_document_makes() {
    let pool = TestDatabase::new().await.pool().await;
    let mut lab = Lab::new();
    lab.extract("job_1", "tr_1", 0, &latents(&[1], 1), &examples(&[1], 1));
    build(&pool, "mistudio", &lab.events, usize::MAX).await;
    let describe = |table: &str| {
        AssertSqlSafe(format!(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'mistudio.{table}'::regclass
             UNION ALL
             SELECT conname || ' ' || contype::text || ' ' || (conparentid <> 0) || convalidated
               FROM pg_constraint WHERE conrelid = 'mistudio.{table}'::regclass
             UNION ALL
             SELECT attname || ' ' || attnotnull || COALESCE(pg_get_expr(adbin, adrelid), '')
               FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
              WHERE attrelid = 'mistudio.{table}'::regclass AND attnum > 0
             UNION ALL
             SELECT 'index of its parent''s ' || (count(*) = 3) FROM pg_inherits
              WHERE inhrelid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'mistudio.{table}'::regclass)
             ORDER BY 1"
        ))
    };
    let mut described = vec![];
    for table in ["feature_activations_00000", "feature_activations_01000"] {
        let lines: Vec<String> = sqlx::query_scalar(describe(table))
            .fetch_all(&pool)
            .await
            .unwrap();
        described.push(lines.join("\n").replace(table, "the_partition"));
    }
    assert_eq!(described[0], described[1]);
    let refused = sqlx::query("INSERT INTO mistudio.feature_activations (feature_id, tokens, activations, max_activation) VALUES (5, '[]', '[]', 0)")
        .execute(&pool).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("feature_activations_feature_id_fkey"),
        "{refused}"
    );
    sqlx::query("DELETE FROM mistudio.trainings WHERE id = 'tr_1'")
        .execute(&pool)
        .await
        .unwrap();
    let left: Vec<i64> = ask(&pool, "SELECT count(*) FROM mistudio.feature_activations").await;
    assert_eq!(left, [0]);
}

#[tokio::test]
async fn another_extraction_replaces_what_programs_said_and_keeps_what_people_said() {
    let pool = TestDatabase::new().await.pool().await;
    let mut lab = Lab::new();
    lab.extract(
        "job_1",
        "tr_1",
        20_000,
        &latents(&[1, 2, 3, 4, 5, D_SAE + 1], 1),
        &examples(&[1, 2, 3, 4, 5, D_SAE + 1], 1),
    );
    lab.say(20_001, "FeatureLabelled", json!({ "name": "mine" }));
    lab.say(20_003, "FeatureFlagged", json!({ "is_favorite": true }));
    lab.say(
        20_004,
        "FeatureLabelled",
        json!({ "name": "soon gone", "description": "d" }),
    );
    lab.say(
        20_004,
        "FeatureLabelled",
        json!({ "name": "", "description": "" }),
    );
    lab.say(20_005, "FeatureFlagged", json!({ "is_hidden": true }));
    lab.say(20_005, "FeatureFlagged", json!({ "is_hidden": false }));
    lab.say(99_999, "FeatureLabelled", json!({ "name": "of nothing" }));
    // A block of its own, as two extractions that were asked for at once have; latents 3, 4, 5 are not found again.
    lab.extract(
        "job_2",
        "tr_1",
        30_000,
        &latents(&[1, 2, 6], 2),
        &examples(&[1, 2, 6], 2),
    );
    build(&pool, "mistudio", &lab.events, usize::MAX).await;

    let (features, activations) = both(&pool, "mistudio").await;
    assert_eq!(ids(&features), [20_001, 20_002, 20_003, 21_501, 30_006]);
    let mine = feature(&features, 20_001);
    assert_eq!(
        (mine["name"].as_str(), mine["description"].as_str()),
        (Some("mine"), Some("found 2 times"))
    );
    assert_eq!(
        (
            mine["activation_frequency"].as_f64(),
            mine["interpretability_score"].as_f64()
        ),
        (Some(0.02), Some(0.5))
    );
    assert_eq!(
        feature(&features, 20_002)["name"],
        json!("latent 2 as of 2")
    );
    // A favourite that was not found again stays as it was, and so does the other autoencoder.
    let favourite = feature(&features, 20_003);
    assert_eq!(
        (
            favourite["is_favorite"].as_bool(),
            favourite["name"].as_str()
        ),
        (Some(true), Some("latent 3 as of 1"))
    );
    assert_eq!(
        feature(&features, 21_501)["name"],
        json!("latent 1501 as of 1")
    );

    let strongest: Vec<(i64, f64)> = activations
        .iter()
        .map(|row| {
            (
                row["feature_id"].as_i64().unwrap(),
                row["max_activation"].as_f64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        strongest,
        [
            (20_003, 100.0),
            (20_003, 99.0),
            (21_501, 100.0),
            (21_501, 99.0),
            (20_001, 200.0),
            (20_001, 199.0),
            (20_002, 200.0),
            (20_002, 199.0),
            (30_006, 200.0),
            (30_006, 199.0),
        ]
    );
    assert_eq!(ids(&activations), [5, 6, 11, 12, 13, 14, 15, 16, 17, 18]);
}

#[tokio::test]
async fn rows_are_the_same_however_events_are_batched_and_prepared() {
    let pool = TestDatabase::new().await.pool().await;
    let mut lab = Lab::new();
    let many: Vec<i32> = (0..2_999).step_by(3).collect();
    lab.extract(
        "job_1",
        "tr_1",
        20_000,
        &latents(&many, 1),
        &examples(&many, 1),
    );
    lab.say(20_003, "FeatureLabelled", json!({ "name": "mine" }));
    lab.extract(
        "job_2",
        "tr_2",
        40_000,
        &latents(&[5, 6], 1),
        &examples(&[5, 6], 1),
    );
    lab.say(40_005, "FeatureFlagged", json!({ "is_favorite": true }));
    let fewer: Vec<i32> = (0..1_000).step_by(5).collect();
    lab.extract(
        "job_3",
        "tr_1",
        20_000,
        &latents(&fewer, 2),
        &examples(&fewer, 2),
    );
    lab.say(20_003, "FeatureLabelled", json!({ "name": "" }));

    let expected_serials = build(&pool, "at_once", &lab.events, usize::MAX).await;
    let expected = both(&pool, "at_once").await;
    // 334 of its 500 latents of the first autoencoder go, what people named stays.
    assert_eq!(expected.0.len(), 200 + 1 + 500 + 2);
    for most in [1, 2, 5] {
        let schema = format!("by_{most}");
        assert!(build(&pool, &schema, &lab.events, most).await == expected_serials);
        assert!(
            both(&pool, &schema).await == expected,
            "in pieces of {most}"
        );
    }
    assert!(build_prepared(&pool, "prepared", &lab.events).await == expected_serials);
    assert!(both(&pool, "prepared").await == expected, "prepared");
    let left: Vec<String> = ask(
        &pool,
        "SELECT relname::text FROM pg_class WHERE relname LIKE '%next%'",
    )
    .await;
    assert_eq!(left, Vec::<String>::new());
    let notes: Vec<i64> = ask(&pool, "SELECT count(*) FROM projection.imports").await;
    assert_eq!(notes, [0]);
}

#[tokio::test]
async fn a_preparation_that_was_interrupted_is_begun_anew_and_a_finished_one_is_used() {
    let pool = TestDatabase::new().await.pool().await;
    let mut lab = Lab::new();
    lab.extract(
        "job_1",
        "tr_1",
        20_000,
        &latents(&[1, 2], 1),
        &examples(&[1, 2], 1),
    );
    let (attached, before) = lab.events.split_last().unwrap();
    let serials = build(&pool, "mistudio", before, usize::MAX).await;

    // As if the process had been killed within the copy.
    sqlx::raw_sql(
        "CREATE TABLE mistudio.feature_activations_20000_next (LIKE mistudio.feature_activations)",
    )
    .execute(&pool)
    .await
    .unwrap();
    prepare(&pool, "mistudio", &serials, attached).await;
    let prepared: Vec<i64> = ask(
        &pool,
        "SELECT count(*) FROM mistudio.feature_activations_20000_next",
    )
    .await;
    assert_eq!(prepared, [4]);
    let shown: Vec<i64> = ask(&pool, "SELECT count(*) FROM mistudio.feature_activations").await;
    assert_eq!(shown, [0], "nothing is shown before its event is applied");
    // As if it had been killed after that: the file is not even read again.
    std::fs::remove_file(lab.path("job_1.activations.parquet")).unwrap();
    prepare(&pool, "mistudio", &serials, attached).await;
    tables::apply(
        &pool,
        MISTUDIO,
        "mistudio",
        &mut serials.clone(),
        std::slice::from_ref(attached),
    )
    .await
    .unwrap();
    let shown: Vec<i64> = ask(&pool, "SELECT count(*) FROM mistudio.feature_activations").await;
    assert_eq!(shown, [4]);
    assert_eq!(gaps(&pool, "mistudio").await, []);
}

#[tokio::test]
async fn what_is_wrong_with_an_artifact_is_a_gap_of_that_name_and_a_rebuild_tries_again() {
    let pool = TestDatabase::new().await.pool().await;
    let mut lab = Lab::new();
    lab.extract(
        "job_1",
        "tr_1",
        20_000,
        &latents(&[1, 2], 1),
        &examples(&[1, 2], 1),
    );
    lab.say(20_001, "FeatureLabelled", json!({ "name": "mine" }));
    lab.extract(
        "job_2",
        "tr_2",
        30_000,
        &latents(&[1, 2], 1),
        &examples(&[1, 2], 1),
    );
    let mut wrong = examples(&[3], 1);
    wrong[1].tokens = "[not json".to_owned();
    lab.extract("job_3", "tr_2", 30_000, &latents(&[1, 2, 3], 1), &wrong);
    build(&pool, "whole", &lab.events, usize::MAX).await;
    let refused = gaps(&pool, "whole").await;
    assert_eq!(refused.len(), 1);
    assert!(
        refused[0].1.ends_with("job_3.activations.parquet") && refused[0].2.contains("json"),
        "{refused:?}"
    );

    // One is missing; one has a byte that is not its own.
    let (features, activations) = (
        lab.path("job_1.features.parquet"),
        lab.path("job_2.activations.parquet"),
    );
    let (kept, mut altered) = (
        std::fs::read(&features).unwrap(),
        std::fs::read(&activations).unwrap(),
    );
    std::fs::remove_file(&features).unwrap();
    altered[100] ^= 1;
    std::fs::write(&activations, &altered).unwrap();
    for (schema, is_prepared) in [("lacking", false), ("lacking_too", true)] {
        if is_prepared {
            build_prepared(&pool, schema, &lab.events).await;
        } else {
            build(&pool, schema, &lab.events, usize::MAX).await;
        }
        let found: Vec<(String, String)> = gaps(&pool, schema)
            .await
            .into_iter()
            .map(|(event, artifact, reason)| {
                (
                    format!("{event} {}", artifact.rsplit('/').next().unwrap()),
                    reason,
                )
            })
            .collect();
        let named: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            named,
            [
                "FeaturesExtracted job_1.features.parquet",
                "FeaturesLabelled job_1.features.parquet",
                "FeaturesScored job_1.features.parquet",
                "ActivationsAttached job_1.activations.parquet",
                "ActivationsAttached job_2.activations.parquet",
                "ActivationsAttached job_3.activations.parquet",
            ]
        );
        assert_eq!(found[0].1, "the file is missing");
        assert!(
            found[3]
                .1
                .contains("latent 1 is not among the training's features"),
            "{found:?}"
        );
        assert!(found[4].1.contains("altered"), "{found:?}");
        // All that came after is there.
        assert_eq!(ids(&both(&pool, schema).await.0), [30_001, 30_002, 30_003]);
    }

    std::fs::write(&features, kept).unwrap();
    altered[100] ^= 1;
    std::fs::write(&activations, altered).unwrap();
    build(&pool, "again", &lab.events, 3).await;
    assert!(both(&pool, "again").await == both(&pool, "whole").await);
    assert_eq!(
        feature(&both(&pool, "again").await.0, 20_001)["name"],
        json!("mine")
    );
}

#[tokio::test]
async fn an_extraction_of_a_training_that_is_gone_leaves_nothing() {
    let pool = TestDatabase::new().await.pool().await;
    let mut lab = Lab::new();
    let before = lab.events.len();
    lab.extract(
        "job_1",
        "tr_1",
        20_000,
        &latents(&[1], 1),
        &examples(&[1], 1),
    );
    let (history, extraction) = lab.events.split_at(before);
    let mut serials = build(&pool, "mistudio", history, usize::MAX).await;
    sqlx::query("DELETE FROM mistudio.trainings WHERE id = 'tr_1'")
        .execute(&pool)
        .await
        .unwrap();
    prepare(&pool, "mistudio", &serials, &extraction[3]).await;
    tables::apply(&pool, MISTUDIO, "mistudio", &mut serials, extraction)
        .await
        .unwrap();
    assert!(both(&pool, "mistudio").await == (vec![], vec![]));
    assert_eq!(gaps(&pool, "mistudio").await, []);
}
