//! Waiting until nothing is left to be done.

use super::arena::Arena;
use crate::lab::trainers_below;
use std::time::{Duration, Instant};

/// The longest back-off of any part is 60 s; what has not settled after this will not.
const LIMIT: Duration = Duration::from_secs(120);

/// What still waits or runs, by what the log, the tables of dispatch and the machine say.
const UNSETTLED: &str = "
SELECT 'outbox: ' || category || ' ' || stream_id || ' ' || task::text FROM log.outbox
UNION ALL
SELECT 'runs: ' || category || ' ' || id || ' under lease ' || lease FROM dispatch.runs WHERE ended_at IS NULL
UNION ALL
SELECT 'log: ' || category || ' ' || stream_id || ' is at ' || type
  FROM (SELECT DISTINCT ON (category, stream_id) category, stream_id, type
          FROM log.events
         WHERE category IN ('dataset', 'model', 'training', 'job')
           AND type NOT IN ('MetricsPruned', 'CheckpointPruned', 'ActivationsPruned')
         ORDER BY category, stream_id, version DESC) AS latest
 WHERE type NOT IN ('DatasetTokenized', 'DatasetFailed', 'DatasetDeleted',
                    'ModelInspected', 'ModelQuantized', 'ModelFailed', 'ModelDeleted',
                    'TrainingCompleted', 'TrainingStopped', 'TrainingPaused', 'TrainingFailed', 'TrainingErrored', 'TrainingDeleted',
                    'JobCompleted', 'JobCancelled', 'JobFailed')
UNION ALL
SELECT 'projection: ' || o.schema_name || ' is behind'
  FROM projection.offsets o
 WHERE o.schema_name = 'mistudio'
   AND EXISTS (SELECT FROM log.events e WHERE (e.transaction_id, e.sequence) > (o.transaction_id, o.sequence))
LIMIT 20";

/// Waits until the daemon is ready and nothing waits or runs. Says how long that took.
///
/// # Errors
/// What had not settled after two minutes.
pub(super) async fn settle(arena: &Arena) -> Result<Duration, Vec<String>> {
    let begun = Instant::now();
    loop {
        let left = unsettled(arena).await;
        if left.is_empty() {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > LIMIT {
            return Err(left);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

async fn unsettled(arena: &Arena) -> Vec<String> {
    let mut left = match sqlx::query_scalar::<_, String>(UNSETTLED)
        .fetch_all(arena.lab.pool())
        .await
    {
        Ok(left) => left,
        Err(error) => vec![format!("the database: {error}")],
    };
    left.extend(
        trainers_below(&arena.lab.state().join("runs"))
            .iter()
            .map(|pid| format!("trainer {pid} still runs")),
    );
    if left.is_empty() && !arena.wait_until_ready(Duration::from_millis(500)).await {
        left.push("the daemon is not ready".to_owned());
    }
    if left.is_empty() {
        left = super::files::deleted_but_there(arena).await;
    }
    left
}
