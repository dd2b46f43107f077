//! Retention: what the plan lists is what goes, and a training keeps what it needs.

use crate::{client::serve, fixture::Interface};
use chrono::{DateTime, Months, Utc};
use serde_json::{Value, json};
use std::fs;
use trainmaster::{
    leftovers::Leftovers,
    retention::{Item, Policy, Retention, What},
};

impl Interface {
    /// A training with 8 checkpoints, of which the second has the lowest loss, and metrics of which 3 are old.
    async fn old_training(&self, root: &str) -> String {
        let id = self.training().await;
        self.run_training(&id).await;
        let now = self.log.now().await.unwrap();
        let old: DateTime<Utc> = "2020-01-01T00:00:00Z".parse().unwrap();
        let (mut seq, mut last) = (2, None);
        for n in 1..=8_u64 {
            let at = if n <= 3 { old } else { now };
            let metrics = json!({
                "record": "metrics", "steps": [n * 10], "loss": [1.0], "sparsity": [1.0], "reconstruction_error": [0.1],
                "dead_neurons": [1], "explained_variance": [0.5], "learning_rate": [0.001], "at": [at],
                "tokens_per_second": 1.0
            });
            let loss = if n == 2 { 0.25 } else { 1.0 + n as f64 };
            let checkpoint = json!({
                "record": "checkpoint_saved", "step": n * 10, "loss": loss, "sparsity": 1.0,
                "path": format!("{root}/runs/{id}/checkpoints/{}-1", n * 10), "file_size_bytes": 1_000,
                "sha256": "ab".repeat(32)
            });
            self.training_says(&id, seq + 1, metrics).await;
            last = Some(self.training_says(&id, seq + 2, checkpoint).await);
            seq += 2;
        }
        let last = last.unwrap();
        let shown = self
            .get(&format!("/v1/trainings/{id}?at_least={last}"))
            .await;
        assert_eq!(shown.body["current_step"], 80);
        id
    }

    async fn end(&self, id: &str, record: Value) {
        let position = self.training_says(id, 100, record).await;
        self.get(&format!("/v1/trainings/{id}?at_least={position}"))
            .await;
    }

    async fn steps(&self, sql: &'static str) -> Vec<i32> {
        sqlx::query_scalar(sql)
            .fetch_all(self.log.pool())
            .await
            .unwrap()
    }
}

const CHECKPOINTS: &str = "SELECT step FROM mistudio.checkpoints ORDER BY step";
const METRICS: &str = "SELECT step FROM mistudio.training_metrics ORDER BY step";

fn stopped() -> Value {
    json!({ "record": "stopped", "step": 80, "path": "/r", "sha256": "cd".repeat(32) })
}

fn checkpoint_steps(items: &[Item]) -> Vec<i32> {
    let mut steps: Vec<i32> = items
        .iter()
        .filter_map(|item| match item.what {
            What::Checkpoint { step, .. } => Some(step),
            _ => None,
        })
        .collect();
    steps.sort_unstable();
    steps
}

#[tokio::test]
async fn what_is_planned_goes_and_then_there_is_nothing_more_to_do() {
    let interface = Interface::new().await;
    let state = tempfile::tempdir().unwrap();
    let id = interface.old_training(state.path().to_str().unwrap()).await;
    for step in (10..=80).step_by(10) {
        let directory = state.path().join(format!("runs/{id}/checkpoints/{step}-1"));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("weights"), "x").unwrap();
    }
    interface.end(&id, stopped()).await;
    let plan = interface.get("/v1/retention/plan").await.body;
    let planned: Vec<Item> = serde_json::from_value(plan["items"].clone()).unwrap();
    assert_eq!(
        checkpoint_steps(&planned),
        [10, 30],
        "the last five and the best stay: {plan}"
    );
    let metrics: Vec<&Item> = planned
        .iter()
        .filter(|item| matches!(item.what, What::Metrics { .. }))
        .collect();
    assert_eq!((metrics.len(), metrics[0].rows), (1, 3), "{plan}");
    assert_eq!(plan["rows"], 5);
    assert!(plan["bytes"].as_i64().unwrap() > 2_000, "{plan}");
    let before = interface.events().await;
    assert_eq!(
        interface.steps(CHECKPOINTS).await.len(),
        8,
        "a plan does nothing"
    );

    let done = interface.post("/v1/retention/run", Value::Null).await.body;
    let mut gone: Vec<Item> = serde_json::from_value(done["gone"].clone()).unwrap();
    assert_eq!(done["kept"], json!([]));
    // The clock has moved on between the two.
    for (gone, planned) in gone.iter_mut().zip(&planned) {
        if let What::Metrics { before } = &mut gone.what {
            let What::Metrics { before: earlier } = planned.what else {
                panic!("{done}");
            };
            assert!(*before >= earlier);
            *before = earlier;
        }
    }
    assert_eq!(gone, planned);
    assert_eq!(interface.events().await, before + 3);

    let head = interface.log.now().await.unwrap();
    let training = interface
        .post(&format!("/v1/trainings/{id}/stop"), Value::Null)
        .await;
    assert_eq!(training.code(), "not_allowed", "{head}");
    while interface.steps(CHECKPOINTS).await.len() > 6 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(interface.steps(CHECKPOINTS).await, [20, 40, 50, 60, 70, 80]);
    assert_eq!(interface.steps(METRICS).await, [40, 50, 60, 70, 80]);
    let plan = interface.get("/v1/retention/plan").await.body;
    assert_eq!(plan["items"], json!([]));
    let events = interface.events().await;
    interface.post("/v1/retention/run", Value::Null).await;
    assert_eq!(interface.events().await, events, "nothing to do, no event");

    let leftovers = Leftovers::new(interface.log.clone(), state.path().to_owned());
    assert_eq!(leftovers.clean().await.unwrap().removed, 2);
    let mut left: Vec<String> = fs::read_dir(state.path().join(format!("runs/{id}/checkpoints")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["20-1", "40-1", "50-1", "60-1", "70-1", "80-1"]);

    let rows = interface.everything().await;
    interface.rebuild().await;
    assert_eq!(interface.everything().await, rows);
}

#[tokio::test]
async fn old_checkpoints_go_but_never_the_one_that_an_attempt_would_go_on_from() {
    let interface = Interface::new().await;
    let id = interface.old_training("/s").await;
    let policy = Policy::default();
    let retention = Retention::new(interface.log.clone(), policy);
    let now = interface.log.now().await.unwrap();
    let later = now.checked_add_months(Months::new(7)).unwrap();
    let plan = retention.plan_at(later).await.unwrap();
    assert_eq!(
        checkpoint_steps(&plan.items),
        [10, 30],
        "while it trains, age does not count"
    );
    assert!(
        plan.items
            .iter()
            .all(|item| !matches!(item.what, What::Metrics { .. })),
        "nor do its metrics go"
    );
    let failed = json!({ "record": "failed", "class": "workload", "code": "loss_not_finite", "message": "NaN." });
    interface.end(&id, failed).await;
    let plan = retention.plan_at(later).await.unwrap();
    assert_eq!(
        checkpoint_steps(&plan.items),
        [10, 20, 30, 40, 50, 60, 70],
        "all but the one that a retry needs"
    );
    let done = retention.run_at(later).await.unwrap();
    assert_eq!((done.gone, done.kept), (plan.items, vec![]));
    let retried = interface
        .post(&format!("/v1/trainings/{id}/retry"), Value::Null)
        .await;
    assert_eq!(retried.body["events"], json!(["TrainingRetried"]));
    assert_eq!(interface.steps(CHECKPOINTS).await, [80]);
}

#[tokio::test]
async fn a_stopped_training_needs_no_old_checkpoint_at_all() {
    let interface = Interface::new().await;
    let id = interface.old_training("/s").await;
    interface.end(&id, stopped()).await;
    let retention = Retention::new(interface.log.clone(), Policy::default());
    let now = interface.log.now().await.unwrap();
    let later = now.checked_add_months(Months::new(7)).unwrap();
    let done = retention.run_at(later).await.unwrap();
    assert_eq!(checkpoint_steps(&done.gone).len(), 8);
    assert!(done.kept.is_empty());
}

#[tokio::test]
async fn the_strongest_examples_of_a_feature_stay() {
    let interface = Interface::new().await;
    let id = interface.old_training("/s").await;
    interface.end(&id, stopped()).await;
    interface.features(&id, 0..2).await;
    sqlx::query(
        "INSERT INTO mistudio.feature_activations (id, feature_id, tokens, activations, max_activation)
         SELECT n, 0, '[]'::jsonb, '[]'::jsonb, n FROM generate_series(1, 6) AS n
         UNION ALL SELECT 10 + n, 1, '[]'::jsonb, '[]'::jsonb, n / 20.0 FROM generate_series(1, 4) AS n",
    )
    .execute(interface.log.pool())
    .await
    .unwrap();
    let policy = Policy {
        activations_top: 4,
        ..Policy::default()
    };
    let retention = Retention::new(interface.log.clone(), policy);
    let plan = retention.plan().await.unwrap();
    let weak = plan
        .items
        .iter()
        .find(|item| matches!(item.what, What::Activations { .. }))
        .unwrap();
    // Two beyond the top four of the first feature; one of the second is below 0.1.
    assert_eq!(weak.rows, 3, "{plan:?}");
    retention.run().await.unwrap();
    let left = || async {
        sqlx::query_scalar::<_, i64>("SELECT id FROM mistudio.feature_activations ORDER BY id")
            .fetch_all(interface.log.pool())
            .await
            .unwrap()
    };
    while left().await.len() > 7 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(left().await, [3, 4, 5, 6, 12, 13, 14]);
    assert!(
        retention
            .plan()
            .await
            .unwrap()
            .items
            .iter()
            .all(|item| !matches!(item.what, What::Activations { .. }))
    );
}

#[tokio::test]
async fn the_command_line_plans_and_prunes() {
    let interface = Interface::new().await;
    let id = interface.old_training("/s").await;
    interface.end(&id, stopped()).await;
    let served = serve(&interface).await;
    let plan = served.run(&["retention", "plan"]).await;
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(
        plan.stdout.contains("checkpoint 10") && plan.stdout.contains("metrics"),
        "{plan:?}"
    );
    assert!(plan.stderr.contains("5 rows"), "{plan:?}");
    let json = served.run(&["--json", "retention", "plan"]).await;
    let plan: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(plan["rows"], 5);
    let run = served.run(&["retention", "run"]).await;
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("checkpoint 30"), "{run:?}");
}
