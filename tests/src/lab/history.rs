//! What the log and the tables say, and what must be true of them whatever happened.

use super::Lab;
use serde_json::Value;
use sqlx::Row;

/// An event, as the log holds it.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// Its version in its stream.
    pub version: i64,
    /// Its type.
    pub event_type: String,
    /// What it says.
    pub payload: Value,
}

impl Lab {
    /// The events of a stream, in order.
    pub async fn history(&self, id: &str) -> Vec<StoredEvent> {
        sqlx::query(
            "SELECT version, type, payload FROM log.events WHERE stream_id = $1 ORDER BY version",
        )
        .bind(id)
        .fetch_all(self.pool())
        .await
        .expect("the log can be read")
        .iter()
        .map(|row| StoredEvent {
            version: row.get(0),
            event_type: row.get(1),
            payload: row.get(2),
        })
        .collect()
    }

    /// What must be true of a training that is completed, whatever happened on the way: versions without gaps, one
    /// terminal event, each step measured once, every checkpoint of the table on disk.
    ///
    /// # Panics
    /// When it is not.
    pub async fn assert_completed_once(&self, id: &str) {
        let history = self.history(id).await;
        let versions: Vec<i64> = history.iter().map(|event| event.version).collect();
        assert_eq!(
            versions,
            (1..=history.len() as i64).collect::<Vec<_>>(),
            "{history:#?}"
        );
        let ends = history
            .iter()
            .filter(|e| matches!(&*e.event_type, "TrainingCompleted" | "TrainingStopped"));
        assert_eq!(ends.count(), 1, "{history:#?}");
        assert_eq!(
            history.last().map(|event| &*event.event_type),
            Some("TrainingCompleted"),
            "{history:#?}"
        );
        let (current, total): (i32, i32) = sqlx::query_as(
            "SELECT current_step, total_steps FROM mistudio.trainings WHERE id = $1",
        )
        .bind(id)
        .fetch_one(self.pool())
        .await
        .expect("the training's row");
        assert_eq!(current, total);
        let steps: Vec<i32> = sqlx::query_scalar(
            "SELECT step FROM mistudio.training_metrics WHERE training_id = $1 ORDER BY step",
        )
        .bind(id)
        .fetch_all(self.pool())
        .await
        .expect("the training's metrics");
        // logInterval is 5; the first and the last step are recorded as well.
        let expected: Vec<i32> = (1..=total)
            .filter(|step| *step == 1 || step % 5 == 0 || *step == total)
            .collect();
        assert_eq!(steps, expected);
        let paths: Vec<String> = sqlx::query_scalar(
            "SELECT storage_path FROM mistudio.checkpoints WHERE training_id = $1",
        )
        .bind(id)
        .fetch_all(self.pool())
        .await
        .expect("the training's checkpoints");
        assert!(!paths.is_empty());
        for path in paths {
            assert!(std::path::Path::new(&path).is_dir(), "{path}");
        }
    }

    /// Every row of the read model, as text in a fixed order.
    pub async fn read_model(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for query in [
            "SELECT 'datasets ' || t::text FROM mistudio.datasets t ORDER BY 1",
            "SELECT 'models ' || t::text FROM mistudio.models t ORDER BY 1",
            "SELECT 'trainings ' || t::text FROM mistudio.trainings t ORDER BY 1",
            "SELECT 'training_metrics ' || t::text FROM mistudio.training_metrics t ORDER BY 1",
            "SELECT 'checkpoints ' || t::text FROM mistudio.checkpoints t ORDER BY 1",
        ] {
            rows.extend(
                sqlx::query_scalar::<_, String>(query)
                    .fetch_all(self.pool())
                    .await
                    .expect("the read model"),
            );
        }
        rows
    }

    /// Rebuilding the read model changes no row, and the log's hash chains are whole.
    ///
    /// # Panics
    /// When not.
    pub async fn assert_rebuild_equals_live(&self) {
        let live = self.read_model().await;
        assert!(!live.is_empty());
        self.cli(&["projections", "rebuild", "mistudio"]);
        let rebuilt = self.read_model().await;
        for (live, rebuilt) in live.iter().zip(&rebuilt) {
            assert_eq!(live, rebuilt);
        }
        assert_eq!(live.len(), rebuilt.len());
        self.cli(&["log", "verify", "--skip-artifacts"]);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let runs = self.state().join("runs");
        for run in std::fs::read_dir(runs).into_iter().flatten().flatten() {
            for pid in super::trainers_of(&run.path()) {
                super::processes::signal(pid, "KILL");
            }
        }
    }
}
