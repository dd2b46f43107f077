//! From a command's commit to its trainer's first instruction, against apalis-postgres' own time from push to handler, one after the
//! other in the same run, on one idle machine with durable commits.
//!
//! Both times begin in the transaction, before its commit: ours at the event's `recorded_at`, apalis' when its task is pushed. Ours
//! ends when `main` of this very program, started as the trainer, reads the clock.

use anyhow::{Context, Result, ensure};
use apalis::prelude::{
    BackendExt, BoxDynError, IntervalStrategy, TaskBuilder, WorkerBuilder, WorkerContext,
    WorkerError,
};
use apalis_postgres::{Config, PostgresStorage};
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{
    fs,
    path::Path,
    pin::Pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use trainmaster::{
    dispatch::{Dispatch, DispatchOptions},
    log::Log,
    migrate,
};
use trainmaster_domain::{
    Metadata,
    model::{Model, ModelCommand},
};
use trainmaster_tests::postgres::Cluster;

const WARM_UP: usize = 20;
const TARGET_P50_RATIO: f64 = 2.0;
const TARGET_P99_MS: f64 = 25.0;
const STAMP: &str = "first-instruction";

fn main() -> Result<()> {
    let now = nanoseconds();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("run") => be_trainer(now, &arguments),
        Some(rounds) => measure(rounds.parse().context("how many rounds?")?),
        None => measure(300),
    }
}

fn nanoseconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or_default()
}

/// `run <directory> --lease <n>`: writes the stamp and the journal of a model's inspection.
fn be_trainer(now: i64, arguments: &[String]) -> Result<()> {
    let [_, _, directory, _, lease] = arguments else {
        anyhow::bail!("run <directory> --lease <n>");
    };
    let directory = Path::new(directory);
    fs::write(directory.join(STAMP), now.to_string())?;
    let line = |seq: u32, record: &str| {
        format!(
            r#"{{"lease":{lease},"seq":{seq},"written_at":"2026-01-01T00:00:00Z","record":{record}}}"#
        )
    };
    let inspected = r#""model_inspected","params_count":1,"memory_required_bytes":1,"disk_size_bytes":1,"architecture_config":{}"#;
    fs::write(directory.join("journal.jsonl"), line(1, inspected) + "\n")?;
    Ok(())
}

#[tokio::main]
async fn measure(rounds: usize) -> Result<()> {
    // Durable, with the settings that the daemon's own Postgres has.
    let cluster = Cluster::start_with(&["shared_buffers=512MB", "wal_buffers=16MB"]);
    let database = cluster.database().await;
    migrate::up(&database.pool().await).await?;
    let pool = || {
        PgPoolOptions::new()
            .max_connections(5)
            .connect_lazy_with(database.options())
    };
    let log = Log::new(pool());
    let state = tempfile::tempdir()?;
    let mut options = DispatchOptions::new(state.path());
    options.launch.program = std::env::current_exe()?;
    let shutdown = CancellationToken::new();
    let dispatch = Dispatch::new(log.clone(), database.options(), options)?;
    let dispatching = tokio::spawn(dispatch.run(shutdown.clone()));

    let peer = pool();
    let (handled, mut at) = mpsc::unbounded_channel();
    let worker = tokio::spawn(peer_worker(&peer, handled));

    let (mut ours, mut theirs) = (vec![], vec![]);
    for round in 0..rounds + WARM_UP {
        let our = dispatch_one(&log, state.path(), round).await?;
        let their = push_one(&peer, &mut at).await?;
        if round >= WARM_UP {
            ours.push(our);
            theirs.push(their);
        }
        // Not in step with anything that happens at intervals.
        tokio::time::sleep(Duration::from_millis(5 + (round as u64 * 7) % 23)).await;
    }
    shutdown.cancel();
    dispatching.await?;
    worker.abort();
    stages(&peer, state.path()).await?;
    report(ours, theirs)
}

/// Where the time goes, as far as the database's timestamps tell.
async fn stages(pool: &PgPool, state: &Path) -> Result<()> {
    let rows: Vec<(String, f64, f64, f64)> = sqlx::query_as(
        "SELECT registered.stream_id,
                extract(epoch FROM job.lock_at - registered.recorded_at)::float8 * 1000,
                extract(epoch FROM claimed.recorded_at - job.lock_at)::float8 * 1000,
                extract(epoch FROM claimed.recorded_at)::float8 * 1000
           FROM log.events AS registered
           JOIN log.events AS claimed USING (category, stream_id)
           JOIN apalis.jobs AS job
             ON job.job_type = 'trainmaster'
            AND convert_from(job.job, 'UTF8')::jsonb -> 'stream' ->> 'id' = registered.stream_id
            AND convert_from(job.job, 'UTF8')::jsonb -> 'task' ->> 'task' = 'dispatch'
          WHERE registered.type = 'ModelDownloaded' AND claimed.type = 'ModelClaimed'",
    )
    .fetch_all(pool)
    .await?;
    let (mut fetched, mut claimed, mut started) = (vec![], vec![], vec![]);
    for (id, until_fetched, until_claimed, claimed_at) in rows {
        let stamp: f64 = fs::read_to_string(state.join("runs").join(id).join(STAMP))?.parse()?;
        fetched.push(until_fetched);
        claimed.push(until_claimed);
        started.push(stamp / 1e6 - claimed_at);
    }
    for (stage, mut times) in [
        ("commit to fetched by the queue's worker", fetched),
        ("fetched to claimed", claimed),
        ("claimed to first instruction", started),
    ] {
        times.sort_by(f64::total_cmp);
        println!("{stage:<42}{:>7.2} ms (median)", times[times.len() / 2]);
    }
    Ok(())
}

/// One model is registered; answers how long it took to its trainer's first instruction.
async fn dispatch_one(log: &Log, state: &Path, round: usize) -> Result<f64> {
    let id = format!("m_{round}");
    let command = ModelCommand::RegisterLocal {
        registered: serde_json::from_value(serde_json::json!({
            "name": id, "architecture": "llama", "quantization": "FP32",
        }))?,
        files: serde_json::from_value(
            serde_json::json!({ "file_path": "/m", "disk_size_bytes": 1 }),
        )?,
    };
    let metadata = Metadata {
        command_id: format!("register {round}"),
        correlation_id: format!("register {round}"),
        actor: "bench".to_owned(),
        ..Metadata::default()
    };
    let executed = log.execute::<Model>(&id, command, metadata).await?;
    let registered = executed
        .events
        .last()
        .and_then(|event| event.recorded_at.timestamp_nanos_opt())
        .context("no event")?;
    // Until the run is over, so that the next one finds the slot free.
    for _ in 0..2000 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let model = log.load::<Model>(&id).await?.state;
        if model.status().as_str() == "ready" {
            let stamp = state.join("runs").join(&id).join(STAMP);
            let first: i64 = fs::read_to_string(stamp)?.parse()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Ok((first - registered) as f64 / 1e6);
        }
    }
    anyhow::bail!("model {id} has not been inspected")
}

/// One task is pushed; answers how long it took to its handler.
async fn push_one(pool: &PgPool, at: &mut mpsc::UnboundedReceiver<i64>) -> Result<f64> {
    let pushed = nanoseconds();
    let mut transaction = pool.begin().await?;
    let task = TaskBuilder::new(b"0".to_vec()).build();
    apalis_postgres::queries::push_tasks(&mut *transaction, "peer", vec![task]).await?;
    transaction.commit().await?;
    let handled = at.recv().await.context("the peer's worker has ended")?;
    Ok((handled - pushed) as f64 / 1e6)
}

/// apalis-postgres as its own example has it: notifications, and an interval beside them.
fn peer_worker(
    pool: &PgPool,
    handled: mpsc::UnboundedSender<i64>,
) -> Pin<Box<dyn Future<Output = Result<(), WorkerError>> + Send>> {
    let backend = PostgresStorage::<usize>::new(pool)
        .with_config(Config::default().queue("peer"))
        .with_pubsub()
        .poll_with_strategy(IntervalStrategy::new(Duration::from_millis(100)));
    let context = WorkerContext::new("peer");
    let worker = WorkerBuilder::new(&context)
        .backend(backend)
        .build(move |_: usize| {
            let sent = handled.send(nanoseconds());
            async move { sent.map_err(BoxDynError::from) }
        });
    Box::pin(worker.run())
}

fn report(mut ours: Vec<f64>, mut theirs: Vec<f64>) -> Result<()> {
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let at =
        |sorted: &[f64], part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize];
    println!(
        "{} rounds                       p50       p90       p99",
        ours.len()
    );
    for (name, sorted) in [
        ("commit to first instruction", &ours),
        ("apalis, push to handler", &theirs),
    ] {
        println!(
            "{name:<30}{:>7.2} ms{:>7.2} ms{:>7.2} ms",
            at(sorted, 0.5),
            at(sorted, 0.9),
            at(sorted, 0.99)
        );
    }
    let ratio = at(&ours, 0.5) / at(&theirs, 0.5);
    println!(
        "p50: {ratio:.2} times apalis' (at most {TARGET_P50_RATIO}); p99 {:.1} ms (under {TARGET_P99_MS})",
        at(&ours, 0.99)
    );
    ensure!(
        ratio <= TARGET_P50_RATIO && at(&ours, 0.99) < TARGET_P99_MS,
        "dispatch is slower than it should be"
    );
    Ok(())
}
