//! What a worker does to a training, through the domain's own commands.

use crate::fixture::Interface;
use serde_json::json;
use trainmaster_domain::{
    Aggregate, Metadata, Position,
    attempt::{Claim, Report, RetryPolicy},
    dataset::{Dataset, DatasetCommand},
    job::{Job, JobCommand},
    model::{Model, ModelCommand},
    run::journal::JournalRecord,
    training::{Training, TrainingCommand},
};

impl Interface {
    /// Where its last event stands.
    pub async fn execute<A: Aggregate>(&self, id: &str, command: A::Command) -> Position
    where
        A::Command: Clone,
    {
        let command_id = ulid::Ulid::generate().to_string();
        let metadata = Metadata {
            correlation_id: command_id.clone(),
            command_id,
            causation_id: None,
            actor: "test".to_owned(),
            traceparent: None,
        };
        let executed = self.log.execute::<A>(id, command, metadata).await.unwrap();
        executed.position.expect("it caused nothing")
    }

    /// How many events there are. (The log's head would not do: what other tests have open holds it back.)
    pub async fn events(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM log.events")
            .fetch_one(self.log.pool())
            .await
            .unwrap()
    }

    pub async fn claim(&self) -> Claim {
        Claim {
            worker_id: "worker".to_owned(),
            host: "here".to_owned(),
            device: "cpu".to_owned(),
            now: self.log.now().await.unwrap(),
        }
    }

    pub async fn report(&self, seq: u64, record: serde_json::Value) -> Box<Report> {
        let now = self.log.now().await.unwrap();
        let mut line = json!({ "lease": 1, "seq": seq, "written_at": now });
        line.as_object_mut()
            .unwrap()
            .extend(record.as_object().unwrap().clone());
        let line: JournalRecord = serde_json::from_value(line).unwrap();
        Box::new(Report {
            line,
            now,
            policy: RetryPolicy::default(),
        })
    }

    pub async fn claim_training(&self, id: &str) {
        let claim = TrainingCommand::Claim(self.claim().await);
        self.execute::<Training>(id, claim).await;
    }

    pub async fn training_says(&self, id: &str, seq: u64, record: serde_json::Value) -> Position {
        let report = TrainingCommand::Report(self.report(seq, record).await);
        self.execute::<Training>(id, report).await
    }

    /// Claimed and training, at its first step.
    pub async fn run_training(&self, id: &str) {
        self.claim_training(id).await;
        self.training_says(
            id,
            2,
            json!({ "record": "training_started", "at_step": 0, "d_in": 8, "d_sae": 64 }),
        )
        .await;
    }

    /// Claimed, trained, and with its autoencoder in `path`.
    pub async fn complete_training(&self, id: &str, path: &str) -> Position {
        self.run_training(id).await;
        let finished = json!({ "record": "completed", "step": 100, "path": path, "sha256": "5a" });
        self.training_says(id, 3, finished).await
    }

    pub async fn claim_job(&self, id: &str) {
        let claim = JobCommand::Claim(self.claim().await);
        self.execute::<Job>(id, claim).await;
    }

    pub async fn job_says(&self, id: &str, seq: u64, record: serde_json::Value) -> Position {
        let report = JobCommand::Report(self.report(seq, record).await);
        self.execute::<Job>(id, report).await
    }

    pub async fn inspect_model(&self, id: &str, layers: u32) -> Position {
        self.execute::<Model>(id, ModelCommand::Claim(self.claim().await))
            .await;
        let found = json!({
            "record": "model_inspected", "params_count": 1000, "memory_required_bytes": 4000, "disk_size_bytes": 4000,
            "architecture_config": { "num_layers": layers, "hidden_size": 8 }
        });
        self.execute::<Model>(id, ModelCommand::Report(self.report(2, found).await))
            .await
    }

    pub async fn fail_dataset(&self, id: &str) {
        self.execute::<Dataset>(id, DatasetCommand::Claim(self.claim().await))
            .await;
        let failed = json!({
            "record": "failed", "class": "workload", "code": "dataset_empty", "message": "There is no text in it."
        });
        self.execute::<Dataset>(id, DatasetCommand::Report(self.report(2, failed).await))
            .await;
    }

    pub async fn fail_model(&self, id: &str) {
        self.execute::<Model>(id, ModelCommand::Claim(self.claim().await))
            .await;
        let failed = json!({
            "record": "failed", "class": "workload", "code": "unsupported", "message": "It is of no known family."
        });
        self.execute::<Model>(id, ModelCommand::Report(self.report(2, failed).await))
            .await;
    }
}
