//! The document's queries run as it writes them, by the read model's role, and use the indexes that it names.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/tables.rs"]
mod tables;

use serde_json::Value;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, Row};
use std::collections::BTreeSet;
use trainmaster_tests::postgres::Cluster;

const SPECIFIED: &str = include_str!("specified/queries.md");

const FILL: &str = "
    INSERT INTO datasets (id, name, source, description, size_bytes, status)
    SELECT 'ds_' || n, 'set ' || n, 'Local', CASE WHEN n = 7 THEN 'About learning by machines' ELSE 'Novels' END, n, 'ready'
      FROM generate_series(1, 1000) AS n;
    INSERT INTO models (id, name, architecture, params_count, quantization, status)
    VALUES ('m_1', 'SmolLM2', 'llama', 135000000, 'Q4', 'ready');
    INSERT INTO trainings (id, model_id, dataset_id, encoder_type, hyperparameters, status, current_step, total_steps, created_at)
    SELECT CASE WHEN n = 1 THEN 'tr_abc123' ELSE 'tr_' || n END, 'm_1', 'ds_' || n, 'sparse', '{}',
           CASE WHEN n % 100 = 0 THEN 'training' ELSE 'completed' END, CASE WHEN n % 100 = 0 THEN 50 ELSE 100 END, 100,
           '2026-01-01'::timestamptz + n * interval '1 minute'
      FROM generate_series(1, 300) AS n;
    INSERT INTO training_metrics (id, training_id, step, loss, timestamp)
    SELECT (t - 1) * 100 + s, CASE WHEN t = 1 THEN 'tr_abc123' ELSE 'tr_' || t END, s, 1.0 / s,
           now() - CASE WHEN t = 2 THEN interval '100 days' ELSE interval '1 day' END
      FROM generate_series(1, 300) AS t, generate_series(1, 100) AS s;
    INSERT INTO features (id, training_id, neuron_index, layer, activation_frequency)
    SELECT n, 'tr_abc123', n, 5, (n * 7919 % 16384) / 16384.0 FROM generate_series(0, 16383) AS n;
    INSERT INTO feature_activations (feature_id, tokens, activations, max_activation)
    SELECT n, '[]', '[]', (e * 37 + n) % 101 FROM generate_series(0, 1999) AS n, generate_series(1, 50) AS e;
    ANALYZE";

/// The queries, by number, with the index that they name.
fn specified() -> Vec<(&'static str, Option<&'static str>)> {
    SPECIFIED
        .split("\n## ")
        .skip(1)
        .enumerate()
        .map(|(n, section)| {
            assert!(section.starts_with(&(n + 1).to_string()));
            let (_, rest) = section.split_once("```sql\n").unwrap();
            let (sql, rest) = rest.split_once("```").unwrap();
            let index = rest.lines().find_map(|line| line.strip_prefix("index: "));
            (sql.trim().trim_end_matches(';'), index)
        })
        .collect()
}

/// Filled tables, read by the role, and by the owner.
async fn filled(cluster: &Cluster) -> (PgConnection, PgConnection) {
    let database = cluster.database().await;
    let pool = database.pool().await;
    tables::create(&pool, tables::MISTUDIO, "mistudio").await;
    let mut owner = database.options().connect().await.unwrap();
    for statement in ["SET search_path = mistudio", FILL] {
        sqlx::raw_sql(statement).execute(&mut owner).await.unwrap();
    }
    sqlx::raw_sql(
        "CREATE ROLE mistudio LOGIN;
         ALTER ROLE mistudio SET search_path = mistudio;
         GRANT USAGE ON SCHEMA mistudio TO mistudio;
         GRANT SELECT ON ALL TABLES IN SCHEMA mistudio TO mistudio",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let role = database
        .options()
        .username("mistudio")
        .connect()
        .await
        .unwrap();
    (role, owner)
}

/// The indexes of a plan, those of partitions by the name of their parent's.
async fn indexes(connection: &mut PgConnection, sql: &str) -> (BTreeSet<String>, Value) {
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {sql}")))
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    fn collect(node: &Value, found: &mut BTreeSet<String>) {
        match node {
            Value::Object(map) => {
                found.extend(
                    map.get("Index Name")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                map.values().for_each(|value| collect(value, found));
            }
            Value::Array(all) => all.iter().for_each(|value| collect(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(&plan, &mut found);
    let mut named = BTreeSet::new();
    for index in found {
        let parent: Option<String> = sqlx::query_scalar(
            "SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = $1::regclass",
        )
        .bind(&index)
        .fetch_optional(&mut *connection)
        .await
        .unwrap();
        named.insert(parent.unwrap_or(index));
    }
    (named, plan)
}

#[tokio::test]
async fn every_query_runs_as_written_and_uses_the_index_that_it_names() {
    let cluster = Cluster::start();
    let (mut role, mut owner) = filled(&cluster).await;
    let queries = specified();
    assert_eq!(queries.len(), 8);
    // What the tables answer.
    let rows = [3, 100, 100, 10, 1, 0, 1, 0];
    for (n, ((sql, index), expected)) in queries.iter().zip(rows).enumerate() {
        let number = n + 1;
        let is_write = !sql.starts_with("SELECT");
        if is_write {
            // A status is an event's consequence, and so is what retention removes: applications do not write.
            let refused = sqlx::query(AssertSqlSafe(*sql))
                .execute(&mut role)
                .await
                .unwrap_err();
            let code = refused
                .as_database_error()
                .and_then(|error| error.code().map(String::from));
            assert_eq!(code.as_deref(), Some("42501"), "query {number}: {refused}");
        } else {
            let found = sqlx::query(AssertSqlSafe(*sql))
                .fetch_all(&mut role)
                .await
                .unwrap();
            assert_eq!(found.len(), expected, "query {number}");
        }
        let reader = if is_write { &mut owner } else { &mut role };
        // The tables of a test are small; pages cost what the document's own configuration says.
        sqlx::raw_sql("SET enable_seqscan = off; SET random_page_cost = 1.1")
            .execute(&mut *reader)
            .await
            .unwrap();
        let (used, plan) = indexes(reader, sql).await;
        if let Some(index) = index {
            assert!(
                used.contains(*index),
                "query {number} does not use {index}: {plan:#}"
            );
        }
        sqlx::raw_sql("RESET enable_seqscan")
            .execute(reader)
            .await
            .unwrap();
    }
    for (sql, changed) in [(queries[5].0, 1), (queries[7].0, 100)] {
        let done = sqlx::query(AssertSqlSafe(sql))
            .execute(&mut owner)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), changed, "{sql}");
    }
}

#[tokio::test]
async fn what_the_queries_answer_is_what_they_ask_for() {
    let cluster = Cluster::start();
    let (mut role, _owner) = filled(&cluster).await;
    let queries = specified();
    let frequencies: Vec<f64> = sqlx::query(AssertSqlSafe(queries[2].0))
        .fetch_all(&mut role)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get("activation_frequency"))
        .collect();
    assert!(
        frequencies.is_sorted_by(|a, b| a >= b) && frequencies[0] > 0.999,
        "{frequencies:?}"
    );
    let strongest: Vec<f64> = sqlx::query(AssertSqlSafe(queries[3].0))
        .fetch_all(&mut role)
        .await
        .unwrap()
        .iter()
        .map(|row| row.get("max_activation"))
        .collect();
    assert!(strongest.is_sorted_by(|a, b| a >= b), "{strongest:?}");
    let (_, plan) = indexes(&mut role, queries[3].0).await;
    let plan = plan.to_string();
    assert!(
        plan.contains("feature_activations_00000") && !plan.contains("feature_activations_01000"),
        "partitions are not pruned: {plan}"
    );
    let found = sqlx::query(AssertSqlSafe(queries[4].0))
        .fetch_one(&mut role)
        .await
        .unwrap();
    assert_eq!(found.get::<String, _>("id"), "ds_7");
    let statistics = sqlx::query(AssertSqlSafe(queries[6].0))
        .fetch_one(&mut role)
        .await
        .unwrap();
    assert_eq!(
        (
            statistics.get::<i64, _>("total"),
            statistics.get::<i64, _>("completed")
        ),
        (300, 297)
    );
    assert_eq!(statistics.get::<f64, _>("avg_progress"), 99.5);
}
