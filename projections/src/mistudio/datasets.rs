//! `datasets` ← the events of datasets. `progress` is that of the stage; the stage that a retry returns to is known from
//! what is there: documents have been counted, files have been found, or nothing.

use crate::{fold::Row, value};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use trainmaster_domain::dataset::{DatasetEvent, DatasetStatus};

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Dataset {
    id: String,
    name: String,
    source: String,
    description: Option<String>,
    size_bytes: i64,
    status: String,
    progress: Option<f64>,
    error_message: Option<String>,
    file_path: Option<String>,
    tokenized_path: Option<String>,
    num_samples: Option<i32>,
    num_tokens: Option<i64>,
    vocab_size: Option<i32>,
    avg_sequence_length: Option<f64>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Row for Dataset {
    type Event = DatasetEvent;
    const TABLE: &'static str = "datasets";
    const SELECT: &'static str = "SELECT * FROM datasets WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO datasets (
            id, name, source, description, size_bytes, status, progress, error_message, file_path, tokenized_path,
            num_samples, num_tokens, vocab_size, avg_sequence_length, created_at, updated_at)
        SELECT
            id, name, source, description, size_bytes, status, progress, error_message, file_path, tokenized_path,
            num_samples, num_tokens, vocab_size, avg_sequence_length, created_at, updated_at
        FROM jsonb_populate_recordset(NULL::datasets, $1)
        ON CONFLICT (id) DO UPDATE SET
            size_bytes = EXCLUDED.size_bytes,
            status = EXCLUDED.status,
            progress = EXCLUDED.progress,
            error_message = EXCLUDED.error_message,
            file_path = EXCLUDED.file_path,
            tokenized_path = EXCLUDED.tokenized_path,
            num_samples = EXCLUDED.num_samples,
            num_tokens = EXCLUDED.num_tokens,
            vocab_size = EXCLUDED.vocab_size,
            avg_sequence_length = EXCLUDED.avg_sequence_length,
            updated_at = EXCLUDED.updated_at";

    fn id(&self) -> &str {
        &self.id
    }

    fn first(id: &str, event: &DatasetEvent, at: DateTime<Utc>) -> Option<Self> {
        let DatasetEvent::DatasetRegistered(registered) = event else {
            return None;
        };
        Some(Self {
            id: id.to_owned(),
            name: value::text(&registered.name, 500),
            source: registered.source.as_str().to_owned(),
            description: registered.description.clone(),
            size_bytes: 0,
            status: DatasetStatus::Downloading.as_str().to_owned(),
            progress: Some(0.0),
            error_message: None,
            file_path: None,
            tokenized_path: None,
            num_samples: None,
            num_tokens: None,
            vocab_size: None,
            avg_sequence_length: None,
            created_at: Some(at),
            updated_at: Some(at),
        })
    }

    fn then(&mut self, event: &DatasetEvent, at: DateTime<Utc>) {
        self.updated_at = Some(at);
        match event {
            DatasetEvent::DatasetRegistered(_)
            | DatasetEvent::DatasetDeleted {}
            | DatasetEvent::DatasetClaimed(_) => {}
            DatasetEvent::DatasetDownloaded(downloaded) => {
                self.file_path = Some(value::text(&downloaded.file_path, 1000));
                self.size_bytes = downloaded.size_bytes;
                self.enter(DatasetStatus::Ingesting);
            }
            DatasetEvent::DatasetProgressed(progressed) => self.progress = Some(progressed.percent),
            DatasetEvent::DatasetIngested(ingested) => {
                self.num_samples = Some(value::integer(ingested.num_samples));
                self.enter(DatasetStatus::Tokenizing);
            }
            DatasetEvent::DatasetTokenized(tokenized) => {
                self.tokenized_path = Some(value::text(&tokenized.tokenized_path, 1000));
                self.num_tokens = Some(tokenized.num_tokens);
                self.vocab_size = Some(value::integer(tokenized.vocab_size));
                self.avg_sequence_length = Some(tokenized.avg_sequence_length);
                self.enter(DatasetStatus::Ready);
            }
            DatasetEvent::DatasetTokenizationRequested(_) => {
                self.error_message = None;
                self.enter(DatasetStatus::Tokenizing);
            }
            DatasetEvent::DatasetFailed(failed) => self.fail(&failed.message),
            DatasetEvent::DatasetLeaseExpired(expired) => self.fail(&expired.message),
            DatasetEvent::DatasetRetried(_) => {
                self.error_message = None;
                self.enter(self.interrupted());
            }
        }
    }
}

impl Dataset {
    fn enter(&mut self, status: DatasetStatus) {
        self.status = status.as_str().to_owned();
        self.progress = Some(if status == DatasetStatus::Ready {
            100.0
        } else {
            0.0
        });
    }

    /// The progress stays where the work was left.
    fn fail(&mut self, message: &str) {
        self.status = DatasetStatus::Error.as_str().to_owned();
        self.error_message = Some(message.to_owned());
    }

    fn interrupted(&self) -> DatasetStatus {
        if self.num_samples.is_some() {
            DatasetStatus::Tokenizing
        } else if self.file_path.is_some() {
            DatasetStatus::Ingesting
        } else {
            DatasetStatus::Downloading
        }
    }
}
