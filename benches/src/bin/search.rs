//! Search and paging over the features of a large autoencoder and their examples, by the queries that the daemon answers with: the median
//! and the 99th percentile of each, as its caller sees them.
//!
//! `search [FEATURES [EXAMPLES [TURNS]]]`, 16,384 features of 100 examples and 500 turns of each query unless said otherwise.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, PgPool};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use trainmaster::queries::{
    Feature, FeatureCursor, FeatureFilter, FeatureOrder, FeatureSort, Page, Queries,
};
use trainmaster_projections::ReadModel;
use trainmaster_tests::postgres::Cluster;

/// What the 99th percentile of every query must stay below.
const TARGET: Duration = Duration::from_millis(10);
const TRAINING: &str = "tr";
const PAGE: u32 = 50;
const WORDS: &str =
    "sea ship whale shore captain storm letter garden music number animal colour city winter king";

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: i64| match arguments.next() {
        Some(text) => text.parse().context("sizes are numbers"),
        None => Ok(otherwise),
    };
    let (features, examples, turns) = (number(16_384)?, number(100)?, number(500)?);
    let cluster = Cluster::start_with(&[
        "fsync=on",
        "shared_buffers=512MB",
        "max_wal_size=1GB",
        "random_page_cost=1.1",
        "autovacuum=on",
    ]);
    let database = cluster.database().await;
    let pool = database.pool().await;
    fill(&pool, features, examples).await?;
    let queries = Queries::new(pool);
    println!("{features} features, {} activations", features * examples);
    println!("query                                      p50 ms   p99 ms");
    let mut is_fast_enough = true;
    let mut report = |name: &str, mut times: Vec<Duration>| {
        times.sort();
        let at = |share: f64| {
            let index = (times.len() as f64 * share) as usize;
            times
                .get(index.min(times.len() - 1))
                .copied()
                .unwrap_or_default()
        };
        let (p50, p99) = (at(0.5), at(0.99));
        is_fast_enough &= p99 < TARGET;
        println!(
            "{name:40} {:8.2} {:8.2}",
            p50.as_secs_f64() * 1e3,
            p99.as_secs_f64() * 1e3
        );
    };
    for sort in FeatureSort::ALL {
        for order in [FeatureOrder::Desc, FeatureOrder::Asc] {
            let filter = FeatureFilter {
                sort,
                order,
                ..FeatureFilter::default()
            };
            let name = format!("pages by {} {}", sort.as_str(), order.as_str());
            report(&name, pages(&queries, &filter, turns).await?);
        }
    }
    let words: Vec<&str> = WORDS.split(' ').collect();
    for (name, together) in [("search for a word", 1), ("search for two words", 2)] {
        let mut times = vec![];
        for turn in 0..turns {
            let at = turn as usize % (words.len() - 1);
            let words = words.get(at..at + together).unwrap_or_default().join(" ");
            let filter = FeatureFilter {
                search: Some(words),
                ..FeatureFilter::default()
            };
            times.push(page(&queries, &filter, None).await?.0);
        }
        report(name, times);
    }
    let filter = FeatureFilter {
        layer: Some(9),
        min_frequency: Some(0.2),
        max_frequency: Some(0.4),
        ..FeatureFilter::default()
    };
    report(
        "a layer, between two frequencies",
        pages(&queries, &filter, turns).await?,
    );
    let mut times = vec![];
    for turn in 0..turns {
        let begin = Instant::now();
        let found = queries.feature(turn * 7_919 % features, 10).await?;
        times.push(begin.elapsed());
        anyhow::ensure!(found.is_some_and(|found| found.examples.len() as i64 == examples.min(10)));
    }
    report("a feature with ten examples", times);
    println!("target: every p99 below {} ms", TARGET.as_millis());
    Ok(ExitCode::from(u8::from(!is_fast_enough)))
}

async fn page(
    queries: &Queries,
    filter: &FeatureFilter,
    after: Option<&FeatureCursor>,
) -> Result<(Duration, Page<Feature>)> {
    let begin = Instant::now();
    let page = queries.features(TRAINING, filter, after, PAGE).await?;
    Ok((begin.elapsed(), page))
}

/// Goes from page to page, and from the last to the first.
async fn pages(queries: &Queries, filter: &FeatureFilter, turns: i64) -> Result<Vec<Duration>> {
    let mut times = vec![];
    let mut after: Option<FeatureCursor> = None;
    for _ in 0..turns {
        let (time, page) = page(queries, filter, after.as_ref()).await?;
        times.push(time);
        after = page.next.map(|next| next.parse()).transpose()?;
    }
    Ok(times)
}

/// The tables as an extraction leaves them.
async fn fill(pool: &PgPool, features: i64, examples: i64) -> Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql("CREATE SCHEMA mistudio; SET LOCAL search_path = mistudio")
        .execute(&mut *transaction)
        .await?;
    for part in ReadModel::MISTUDIO.ddl() {
        sqlx::raw_sql(*part).execute(&mut *transaction).await?;
    }
    sqlx::raw_sql(AssertSqlSafe(format!(
        "INSERT INTO datasets (id, name, source, size_bytes) VALUES ('ds', 'ds', 'Local', 0);
         INSERT INTO models (id, name, architecture, params_count, quantization) VALUES ('m', 'm', 'llama', 0, 'Q4');
         INSERT INTO trainings (id, model_id, dataset_id, encoder_type, hyperparameters, total_steps)
         VALUES ('{TRAINING}', 'm', 'ds', 'sparse', '{{}}', 1);
         INSERT INTO features (id, training_id, neuron_index, layer, name, description, activation_frequency,
                               interpretability_score, max_activation_value, is_favorite, is_hidden)
         SELECT n, '{TRAINING}', n, n % 12,
                words[1 + n % 15] || ' ' || words[1 + n * 7 % 15] || ' ' || md5(n::text),
                'Fires on ' || words[1 + n * 11 % 15] || ' after ' || md5((n + 1)::text),
                (n * 7919 % {features})::float / {features},
                CASE WHEN n % 10 > 0 THEN (n * 104729 % {features})::float / {features} END,
                n * 31 % 5003, n % 500 = 0, n % 100 = 0
           FROM generate_series(0, {features} - 1) AS n, string_to_array('{WORDS}', ' ') AS words;
         ALTER TABLE feature_activations DROP CONSTRAINT feature_activations_feature_id_fkey;
         INSERT INTO feature_activations (feature_id, sample_index, tokens, activations, max_activation, context_before, context_after)
         SELECT n, e, tokens, activations, e * 37 % 101, repeat('before ', 15), repeat('after ', 15)
           FROM generate_series(0, {features} - 1) AS n, generate_series(1, {examples}) AS e,
                (SELECT jsonb_agg(' word' || t) AS tokens, jsonb_agg(t * 0.125) AS activations FROM generate_series(1, 51) AS t) AS window_of_text;"
    )))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    sqlx::raw_sql("VACUUM (ANALYZE)").execute(pool).await?;
    Ok(())
}
