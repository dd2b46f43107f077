//! Rows depend on the events alone: not on how they were batched, and they say what the domain says.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/tables.rs"]
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use tables::MISTUDIO;
use trainmaster_domain::{Aggregate, RecordedEvent};
use trainmaster_projections::Serials;
use trainmaster_tests::{
    history::{Draw, History},
    postgres::TestDatabase,
};

/// Cuts events into pieces of 1 to `most`.
fn pieces(events: &[RecordedEvent], most: u64, seed: u64) -> Vec<&[RecordedEvent]> {
    let mut draw = Draw::new(seed);
    let (mut rest, mut pieces) = (events, vec![]);
    while !rest.is_empty() {
        let length = (1 + draw.below(most) as usize).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[tokio::test]
async fn rows_are_the_same_however_the_events_are_batched() {
    let pool = TestDatabase::new().await.pool().await;
    let mut types = BTreeSet::new();
    for seed in 0..4 {
        let events = History::new(seed).events(2_000);
        types.extend(events.iter().map(|recorded| recorded.event.event_type()));
        let mut expected = None;
        for most in [1, 7, 300, u64::MAX] {
            let schema = format!("of_{seed}_{most}");
            tables::create(&pool, MISTUDIO, &schema).await;
            let mut serials = Serials::default();
            for piece in pieces(&events, most, seed) {
                tables::apply(&pool, MISTUDIO, &schema, &mut serials, piece)
                    .await
                    .unwrap();
            }
            let mut all = vec![];
            for table in MISTUDIO.tables() {
                all.push((*table, tables::rows(&pool, MISTUDIO, &schema, table).await));
            }
            assert!(all.iter().filter(|(_, rows)| !rows.is_empty()).count() == 5);
            match &expected {
                None => expected = Some((serials, all)),
                Some(expected) => assert!(
                    *expected == (serials, all),
                    "history {seed} in pieces of up to {most} differs from one event at a time"
                ),
            }
        }
    }
    assert_eq!(
        types.len(),
        41,
        "the histories lack a type of event: {types:?}"
    );
}

#[tokio::test]
async fn rows_say_what_the_domain_says_after_every_batch() {
    let pool = TestDatabase::new().await.pool().await;
    tables::create(&pool, MISTUDIO, "mistudio").await;
    let mut history = History::new(99);
    let mut serials = Serials::default();
    for _ in 0..60 {
        let events = history.events(25);
        tables::apply(&pool, MISTUDIO, "mistudio", &mut serials, &events)
            .await
            .unwrap();

        let datasets = tables::rows(&pool, MISTUDIO, "mistudio", "datasets").await;
        assert_eq!(datasets.len(), there(history.datasets()).count());
        for (row, (id, dataset)) in datasets.iter().zip(there(history.datasets())) {
            assert_eq!(
                (row["id"].as_str(), row["status"].as_str()),
                (Some(id.as_str()), Some(dataset.status().as_str()))
            );
            assert_eq!(
                row["tokenized_path"].as_str(),
                dataset.latest_tokenized_path()
            );
            assert_eq!(
                row["error_message"].is_null(),
                dataset.status().as_str() != "error"
            );
        }
        for (row, (id, model)) in tables::rows(&pool, MISTUDIO, "mistudio", "models")
            .await
            .iter()
            .zip(there(history.models()))
        {
            assert_eq!(
                (row["id"].as_str(), row["status"].as_str()),
                (Some(id.as_str()), Some(model.status().as_str()))
            );
        }
        let trainings = tables::rows(&pool, MISTUDIO, "mistudio", "trainings").await;
        assert_eq!(trainings.len(), there(history.trainings()).count());
        for (row, (id, training)) in trainings.iter().zip(there(history.trainings())) {
            let status = training.status();
            assert_eq!(
                (row["id"].as_str(), row["status"].as_str()),
                (Some(id.as_str()), Some(status.as_str()))
            );
            assert_eq!(
                row["current_step"].as_u64(),
                Some(training.current_step()),
                "{id}"
            );
            assert_eq!(
                row["retry_count"].as_u64(),
                Some(u64::from(training.attempts().retries)),
                "{id}"
            );
            assert_eq!(
                row["worker_id"].as_str(),
                training.attempts().worker_id.as_deref(),
                "{id}"
            );
            let progress = training.current_step() as f64 / training.total_steps() as f64 * 100.0;
            assert_eq!(row["progress"].as_f64(), Some(progress), "{id}");
            let over = ["stopped", "completed", "failed", "error"].contains(&status.as_str());
            assert_eq!(row["completed_at"].is_string(), over, "{id}");
        }
        let latest: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM mistudio.trainings t
               LEFT JOIN LATERAL (SELECT * FROM mistudio.training_metrics WHERE training_id = t.id
                                   ORDER BY step DESC LIMIT 1) m ON TRUE
              WHERE (m.step IS NOT NULL AND (t.latest_loss, t.latest_sparsity, t.latest_dead_neurons)
                                            IS DISTINCT FROM (m.loss, m.sparsity, m.dead_neurons))
                 OR (t.status = 'training' AND COALESCE(m.step, 0) > t.current_step)",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        assert_eq!(
            latest, 0,
            "latest_* is not the last row of training_metrics"
        );
        let kept: Vec<(String, i32)> =
            sqlx::query_as("SELECT id, step FROM mistudio.checkpoints ORDER BY training_id, step")
                .fetch_all(&pool)
                .await
                .unwrap();
        let known: Vec<(String, i32)> = there(history.trainings())
            .flat_map(|(_, training)| training.checkpoints())
            .map(|kept| (kept.id.to_string(), i32::try_from(kept.step).unwrap()))
            .collect();
        assert_eq!(kept, known);
    }
}

/// What has not been deleted.
fn there<A: Aggregate>(all: &BTreeMap<String, A>) -> impl Iterator<Item = (&String, &A)> {
    all.iter().filter(|(_, aggregate)| !aggregate.is_deleted())
}
