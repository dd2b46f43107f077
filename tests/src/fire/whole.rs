//! What takes a look at the whole log: its hash chains, and whether the tables that exist are those that it makes.

use super::{arena::Arena, ledger::Ledger, wish};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Row as _};
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

/// Every table of the read model with its rows, as text in an order.
async fn tables(arena: &Arena) -> Result<BTreeMap<String, Vec<String>>, sqlx::Error> {
    let pool = arena.lab.pool();
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = 'mistudio' AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
    )
    .fetch_all(pool)
    .await?;
    let mut tables = BTreeMap::new();
    for name in names {
        let query = format!("SELECT t::text FROM mistudio.{name} t ORDER BY 1");
        let rows = sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_all(pool)
            .await?;
        tables.insert(name, rows);
    }
    Ok(tables)
}

/// The log is as it was written, and what is rebuilt from it is what was there.
pub(super) async fn check(arena: &Arena, ledger: &Ledger) -> Result<(), sqlx::Error> {
    run(
        arena,
        ledger,
        "hash chains are whole",
        &["log", "verify", "--skip-artifacts"],
    );
    let live = tables(arena).await?;
    let rebuild = &["projections", "rebuild", "mistudio"];
    if !run(arena, ledger, "the read model can be rebuilt", rebuild) {
        return Ok(());
    }
    let rebuilt = tables(arena).await?;
    if live == rebuilt {
        return Ok(());
    }
    for (table, rows) in &live {
        let others = rebuilt.get(table).cloned().unwrap_or_default();
        let gone = rows.iter().filter(|row| !others.contains(row)).take(3);
        let new = others.iter().filter(|row| !rows.contains(row)).take(3);
        let (gone, new): (Vec<_>, Vec<_>) = (gone.collect(), new.collect());
        if !gone.is_empty() || !new.is_empty() {
            ledger.violation(
                "rebuilt tables equal live ones",
                format!("{table}: live {gone:?}, rebuilt {new:?}"),
            );
        }
    }
    Ok(())
}

/// No task is left in the queue, and no transaction open: what a daemon left that was killed is given to others a minute later, by the next
/// work that comes.
pub(super) async fn check_queue(arena: &Arena, ledger: &Ledger) -> Result<(), sqlx::Error> {
    let begun = Instant::now();
    let mut stirred = begun;
    loop {
        if stirred.elapsed() > Duration::from_secs(20) {
            stirred = Instant::now();
            let model = format!("--model={}", arena.furniture.model);
            arena
                .lab
                .try_cli(&["generate", &model, "--max-tokens=1", "Emma"]);
        }
        let left: Vec<String> = sqlx::query_scalar(
            "SELECT 'task ' || id || ' is ' || status FROM apalis.jobs WHERE status IN ('Pending', 'Queued', 'Running')
             UNION ALL
             SELECT 'transaction of ' || application_name || ': ' || query FROM pg_stat_activity
              WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND xact_start < now() - interval '5 s'",
        )
        .fetch_all(arena.lab.pool())
        .await?;
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(150) {
            ledger.violation("nothing is left in the queue", left.join("; "));
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn run(arena: &Arena, ledger: &Ledger, what: &'static str, arguments: &[&str]) -> bool {
    let output = arena.lab.try_cli(arguments);
    if !output.status.success() {
        ledger.violation(
            what,
            format!(
                "{arguments:?}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
        );
    }
    output.status.success()
}

/// Trainings that were asked for in the same way end with the same bits, whatever happened on their way. `results` are those known.
pub(super) async fn check_results(
    arena: &Arena,
    results: &mut BTreeMap<u64, (String, String)>,
    ledger: &Ledger,
) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT e.stream_id, e.payload #>> '{result,path}', q.payload -> 'hyperparameters'
           FROM log.events e
           JOIN log.events q ON q.category = 'training' AND q.stream_id = e.stream_id AND q.version = 1
          WHERE e.type = 'TrainingCompleted' AND q.payload ->> 'dataset_id' = $1
            AND NOT EXISTS (SELECT FROM log.events d WHERE d.stream_id = e.stream_id AND d.type IN ('TrainingDeleted', 'StopRequested'))",
    )
    .bind(&arena.furniture.dataset)
    .fetch_all(arena.lab.pool())
    .await?;
    for row in rows {
        let (id, path, asked): (String, String, Value) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let variant = (0..6).find(|variant| {
            let wished = wish::hyperparameters(*variant);
            ["trainingSteps", "batchSize"]
                .iter()
                .all(|name| wished[name] == asked[name])
        });
        let Some(variant) = variant else { continue };
        let Ok(weights) = std::fs::read(Path::new(&path).join("sae_weights.safetensors")) else {
            continue;
        };
        let hash = format!("{:x}", Sha256::digest(weights));
        let (first, known) = results
            .entry(variant)
            .or_insert_with(|| (id.clone(), hash.clone()));
        if *known != hash {
            ledger.violation(
                "a training ends with the same bits, whatever happened",
                format!("{id} ends otherwise than {first}, which was asked for in the same way"),
            );
        }
    }
    Ok(())
}

/// What is promised of the metrics of completed trainings: each step that is to be recorded is, once.
pub(super) async fn check_metrics(arena: &Arena, ledger: &Ledger) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT t.id, t.current_step, t.total_steps,
                ARRAY(SELECT m.step FROM mistudio.training_metrics m WHERE m.training_id = t.id ORDER BY m.step)
           FROM mistudio.trainings t
          WHERE t.status = 'completed'
            AND NOT EXISTS (SELECT FROM log.events e WHERE e.stream_id = t.id AND e.type = 'MetricsPruned')",
    )
    .fetch_all(arena.lab.pool())
    .await?;
    for row in rows {
        let (id, current, total): (String, i32, i32) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let steps: Vec<i32> = row.try_get(3)?;
        // logInterval is 5; the first and the last step are recorded as well.
        let expected: Vec<i32> = (1..=total)
            .filter(|step| *step == 1 || step % 5 == 0 || *step == total)
            .collect();
        if current != total || steps != expected {
            ledger.violation(
                "a completed training has all its steps, each once",
                format!("{id}: step {current} of {total}, recorded {steps:?}"),
            );
        }
    }
    Ok(())
}
