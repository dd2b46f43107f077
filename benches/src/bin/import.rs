//! Activations imported from an artifact, as the projector does it (the file verified, rows copied beside the table, indexed, put in place),
//! against a bare binary COPY of the same rows into a table of the same kind.
//!
//! `import [ROWS]`, 200,000 rows unless said otherwise, 100 of each feature.

use anyhow::{Context, Result, ensure};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    process::ExitCode,
    time::Instant,
};
use trainmaster::migrate;
use trainmaster_domain::{
    Category, Event, Lease, Metadata, Position, RecordedEvent, StreamId,
    id::TrainingId,
    job::{ActivationsAttached, FeatureBlock, JobEvent},
    run::journal::Artifact,
};
use trainmaster_projections::{ReadModel, Serials};
use trainmaster_tests::{
    artifacts::{ActivationRow, write_many_activations},
    postgres::Cluster,
};

/// What the import must reach of the bare COPY.
const TARGET: f64 = 0.7;
const ROUNDS: usize = 3;
const EXAMPLES: i64 = 100;
const TOKENS: usize = 51;
const CHUNK_BYTES: usize = 1 << 20;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let rows: i64 = match std::env::args().nth(1) {
        Some(rows) => rows.parse().context("rows must be a number")?,
        None => 200_000,
    };
    // As the daemon's own Postgres is set, not as the tests'.
    let cluster = Cluster::start_with(&[
        "fsync=on",
        "shared_buffers=512MB",
        "wal_buffers=16MB",
        "max_wal_size=1GB",
        "autovacuum=on",
    ]);
    let database = cluster.database().await;
    let pool = database.pool().await;
    migrate::up(&pool).await?;
    let directory = tempfile::tempdir()?;
    let features = (rows / EXAMPLES).max(1);
    let artifact = artifact(&directory.path().join("activations.parquet"), features);
    println!(
        "{} rows of {features} features, {:.0} MB as Parquet",
        artifact.rows,
        artifact.size_bytes as f64 / 1e6
    );
    println!("bare COPY rows/s  import rows/s  ratio");
    let binary = directory.path().join("rows");
    let mut ratios = vec![];
    for round in 0..=ROUNDS {
        let imported = import(&pool, &artifact, features).await?;
        if round == 0 {
            copy_out(&pool, &binary).await?;
        }
        let bare = bare_copy(&pool, &binary, features, artifact.rows).await?;
        // The first round warms up.
        if round > 0 {
            let speed = |seconds: f64| artifact.rows as f64 / seconds;
            ratios.push(bare / imported);
            println!(
                "{:16.0}  {:13.0}  {:5.2}",
                speed(bare),
                speed(imported),
                bare / imported
            );
        }
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios.get(ratios.len() / 2).copied().unwrap_or(0.0);
    println!("median ratio {median:.2}, target {TARGET}");
    if let Some(peak) = peak_memory() {
        println!("peak memory of this process {peak}");
    }
    Ok(ExitCode::from(u8::from(median < TARGET)))
}

fn artifact(path: &Path, features: i64) -> Artifact {
    let rows = (0..features * EXAMPLES).map(|n| {
        let tokens: Vec<String> = (0..TOKENS)
            .map(|t| format!("\" word{}\"", (n * 31 + t as i64 * 17) % 997))
            .collect();
        let activations: Vec<String> = (0..TOKENS)
            .map(|t| format!("{:.4}", ((n + t as i64 * 13) % 1_009) as f64 / 37.0))
            .collect();
        let example = n % EXAMPLES;
        ActivationRow {
            neuron_index: (n / EXAMPLES) as i32,
            sample: Some((n % 10_000) as i32),
            tokens: format!("[{}]", tokens.join(",")),
            activations: format!("[{}]", activations.join(",")),
            max: (EXAMPLES - example) as f64,
            before: Some("what was said before the token, as it stands in the text, ".repeat(2)),
            after: Some(" and what was said after it, as it stands in the text".repeat(2)),
        }
    });
    write_many_activations(path, rows)
}

/// Empty tables with a training and its features, in a schema of that name.
async fn tables(connection: &mut PgConnection, schema: &str, features: i64) -> Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(AssertSqlSafe(format!(
        "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}"
    )))
    .execute(&mut *transaction)
    .await?;
    for part in ReadModel::MISTUDIO.ddl() {
        sqlx::raw_sql(*part).execute(&mut *transaction).await?;
    }
    sqlx::raw_sql(AssertSqlSafe(format!(
        "INSERT INTO datasets (id, name, source, size_bytes) VALUES ('ds', 'ds', 'Local', 0);
         INSERT INTO models (id, name, architecture, params_count, quantization) VALUES ('m', 'm', 'llama', 0, 'Q4');
         INSERT INTO trainings (id, model_id, dataset_id, encoder_type, hyperparameters, total_steps)
         VALUES ('tr', 'm', 'ds', 'sparse', '{{}}', 1);
         INSERT INTO features (id, training_id, neuron_index, layer, activation_frequency)
         SELECT n, 'tr', n, 5, 0.5 FROM generate_series(0, {features} - 1) AS n;"
    )))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    sqlx::raw_sql("CHECKPOINT").execute(connection).await?;
    Ok(())
}

/// Seconds that the import takes.
async fn import(pool: &PgPool, artifact: &Artifact, features: i64) -> Result<f64> {
    let mut connection = pool.acquire().await?;
    tables(&mut connection, "imported", features).await?;
    drop(connection);
    let event = RecordedEvent {
        position: Position {
            transaction: 1,
            sequence: 1,
        },
        stream: StreamId::new(Category::Job, "job"),
        version: 1,
        event: Event::Job(JobEvent::ActivationsAttached(ActivationsAttached {
            lease: Lease(1),
            seq: 1,
            block: FeatureBlock {
                training_id: TrainingId::new("tr")?,
                first_feature_id: 0,
                latents: features,
            },
            artifact: artifact.clone(),
        })),
        metadata: Metadata::default(),
        recorded_at: "2026-01-01T00:00:00Z".parse()?,
    };
    let mut serials = Serials::default();
    let begin = Instant::now();
    let mut own = pool.acquire().await?.detach();
    ReadModel::MISTUDIO
        .prepare(&mut own, "imported", &serials, &event)
        .await?;
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql("SET LOCAL search_path = imported; SET LOCAL synchronous_commit = off")
        .execute(&mut *transaction)
        .await?;
    ReadModel::MISTUDIO
        .apply(&mut transaction, &mut serials, &[event])
        .await?;
    transaction.commit().await?;
    let seconds = begin.elapsed().as_secs_f64();
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM imported.feature_activations")
        .fetch_one(pool)
        .await?;
    ensure!(count == artifact.rows, "{count} rows were imported");
    Ok(seconds)
}

/// Keeps the imported rows as COPY takes them.
async fn copy_out(pool: &PgPool, path: &Path) -> Result<()> {
    let mut connection = pool.acquire().await?;
    let mut rows = connection
        .copy_out_raw("COPY (SELECT * FROM imported.feature_activations ORDER BY id) TO STDOUT (FORMAT binary)")
        .await?;
    let mut file = File::create(path)?;
    while let Some(bytes) = rows.try_next().await? {
        file.write_all(&bytes)?;
    }
    file.flush()?;
    Ok(())
}

/// Seconds that COPY takes into a table with the same partitions, indexes and foreign key.
async fn bare_copy(pool: &PgPool, path: &Path, features: i64, rows: i64) -> Result<f64> {
    let mut connection = pool.acquire().await?;
    tables(&mut connection, "bare", features).await?;
    sqlx::raw_sql("SET synchronous_commit = off")
        .execute(&mut *connection)
        .await?;
    let begin = Instant::now();
    let mut file = File::open(path)?;
    let mut copy = connection
        .copy_in_raw("COPY bare.feature_activations FROM STDIN (FORMAT binary)")
        .await?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        copy.send(chunk.get(..length).unwrap_or_default()).await?;
    }
    let copied = copy.finish().await?;
    let seconds = begin.elapsed().as_secs_f64();
    ensure!(
        i64::try_from(copied) == Ok(rows),
        "{copied} rows were copied"
    );
    Ok(seconds)
}

/// The most memory that this process has had, as the kernel says it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
