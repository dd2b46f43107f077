//! A log of its own for each test, and commands that a dataset accepts.

use chrono::{DateTime, Utc};
use serde_json::json;
use trainmaster::{log::Log, migrate};
use trainmaster_domain::{
    Lease, Metadata,
    attempt::{Claim, Report, RetryPolicy},
    dataset::DatasetCommand,
    run::journal::{JournalRecord, Progress, Record},
};
use trainmaster_tests::postgres::{Cluster, TestDatabase};

pub async fn empty_log() -> Log {
    let pool = TestDatabase::new().await.pool().await;
    migrate::up(&pool).await.unwrap();
    Log::new(pool)
}

/// A log in a cluster of its own: what other tests have open holds no reader back.
pub async fn empty_log_alone() -> (Cluster, Log) {
    let cluster = Cluster::start();
    let pool = cluster.database().await.pool().await;
    migrate::up(&pool).await.unwrap();
    (cluster, Log::new(pool))
}

pub fn metadata(command_id: impl Into<String>) -> Metadata {
    let command_id = command_id.into();
    Metadata {
        correlation_id: format!("request of {command_id}"),
        command_id,
        causation_id: None,
        actor: "test".to_owned(),
        traceparent: None,
    }
}

pub fn noon() -> DateTime<Utc> {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// Two events, of which the second asks for a task.
pub fn register() -> DatasetCommand {
    DatasetCommand::RegisterLocal {
        registered: serde_json::from_value(json!({
            "name": "books",
            "source": "Local",
            "text_column": "text",
            "tokenizer_model_id": "m_1",
            "context_length": 256,
        }))
        .unwrap(),
        files: serde_json::from_value(json!({ "file_path": "/srv/books", "size_bytes": 11 }))
            .unwrap(),
    }
}

/// One event, no task.
pub fn claim() -> DatasetCommand {
    DatasetCommand::Claim(Claim {
        worker_id: "worker".to_owned(),
        host: "here".to_owned(),
        device: "cpu".to_owned(),
        now: noon(),
    })
}

/// One event, no task; none when line `seq` was heard before.
pub fn progress(seq: u64) -> DatasetCommand {
    DatasetCommand::Report(Box::new(Report {
        line: JournalRecord {
            lease: Lease(1),
            seq,
            at: noon(),
            record: Record::Progress(Progress {
                stage: "ingesting".to_owned(),
                percent: 50.0,
            }),
        },
        now: noon(),
        policy: RetryPolicy::default(),
    }))
}
