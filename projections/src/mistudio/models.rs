//! `models` ← the events of models. A retry returns to the stage that failed, which is known from what is there. Family and
//! quantization of a model that is still to be fetched are `unknown` unless they were given.

use crate::{fold::Row, value};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use trainmaster_domain::model::{ModelEvent, ModelStatus, Quantization};

const UNKNOWN: &str = "unknown";

fn unknown() -> String {
    UNKNOWN.to_owned()
}

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Model {
    id: String,
    name: String,
    architecture: String,
    params_count: i64,
    quantization: String,
    status: String,
    progress: Option<f64>,
    error_message: Option<String>,
    file_path: Option<String>,
    quantized_path: Option<String>,
    architecture_config: Option<serde_json::Value>,
    memory_required_bytes: Option<i64>,
    disk_size_bytes: Option<i64>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Row for Model {
    type Event = ModelEvent;
    const TABLE: &'static str = "models";
    const SELECT: &'static str = "SELECT * FROM models WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO models (
            id, name, architecture, params_count, quantization, status, progress, error_message, file_path,
            quantized_path, architecture_config, memory_required_bytes, disk_size_bytes, created_at, updated_at)
        SELECT
            id, name, architecture, params_count, quantization, status, progress, error_message, file_path,
            quantized_path, architecture_config, memory_required_bytes, disk_size_bytes, created_at, updated_at
        FROM jsonb_populate_recordset(NULL::models, $1)
        ON CONFLICT (id) DO UPDATE SET
            architecture = EXCLUDED.architecture,
            quantization = EXCLUDED.quantization,
            params_count = EXCLUDED.params_count,
            status = EXCLUDED.status,
            progress = EXCLUDED.progress,
            error_message = EXCLUDED.error_message,
            file_path = EXCLUDED.file_path,
            quantized_path = EXCLUDED.quantized_path,
            architecture_config = EXCLUDED.architecture_config,
            memory_required_bytes = EXCLUDED.memory_required_bytes,
            disk_size_bytes = EXCLUDED.disk_size_bytes,
            updated_at = EXCLUDED.updated_at";

    fn id(&self) -> &str {
        &self.id
    }

    fn first(id: &str, event: &ModelEvent, at: DateTime<Utc>) -> Option<Self> {
        let ModelEvent::ModelRegistered(registered) = event else {
            return None;
        };
        Some(Self {
            id: id.to_owned(),
            name: value::text(&registered.name, 500),
            architecture: registered
                .architecture
                .as_ref()
                .map_or_else(unknown, |given| value::text(given, 100)),
            params_count: 0,
            quantization: registered
                .quantization
                .map_or_else(unknown, |given| given.as_str().to_owned()),
            status: ModelStatus::Downloading.as_str().to_owned(),
            progress: Some(0.0),
            error_message: None,
            file_path: None,
            quantized_path: None,
            architecture_config: None,
            memory_required_bytes: None,
            disk_size_bytes: None,
            created_at: Some(at),
            updated_at: Some(at),
        })
    }

    fn then(&mut self, event: &ModelEvent, at: DateTime<Utc>) {
        self.updated_at = Some(at);
        match event {
            ModelEvent::ModelRegistered(_)
            | ModelEvent::ModelDeleted {}
            | ModelEvent::ModelClaimed(_) => {}
            ModelEvent::ModelDownloaded(downloaded) => {
                self.file_path = Some(value::text(&downloaded.file_path, 1000));
                self.disk_size_bytes = Some(downloaded.disk_size_bytes);
                self.find(downloaded.architecture.as_deref(), downloaded.quantization);
                self.enter(ModelStatus::Loading);
            }
            ModelEvent::ModelProgressed(progressed) => self.progress = Some(progressed.percent),
            ModelEvent::ModelInspected(inspected) => {
                self.params_count = inspected.params_count;
                self.architecture_config = Some(inspected.architecture_config.clone());
                self.memory_required_bytes = Some(inspected.memory_required_bytes);
                self.disk_size_bytes = Some(inspected.disk_size_bytes);
                self.find(inspected.architecture.as_deref(), inspected.quantization);
                self.enter(match inspected.converts_to {
                    Some(_) => ModelStatus::Quantizing,
                    None => ModelStatus::Ready,
                });
            }
            ModelEvent::ModelQuantized(quantized) => {
                self.quantized_path = Some(value::text(&quantized.quantized_path, 1000));
                self.memory_required_bytes = Some(quantized.memory_required_bytes);
                self.disk_size_bytes = Some(quantized.disk_size_bytes);
                self.enter(ModelStatus::Ready);
            }
            ModelEvent::ModelFailed(failed) => self.fail(&failed.message),
            ModelEvent::ModelLeaseExpired(expired) => self.fail(&expired.message),
            ModelEvent::ModelRetried(_) => {
                self.error_message = None;
                self.enter(self.interrupted());
            }
        }
    }
}

impl Model {
    fn enter(&mut self, status: ModelStatus) {
        self.status = status.as_str().to_owned();
        self.progress = Some(if status == ModelStatus::Ready {
            100.0
        } else {
            0.0
        });
    }

    /// What files say counts where nobody has said otherwise.
    fn find(&mut self, architecture: Option<&str>, quantization: Option<Quantization>) {
        if let Some(found) = architecture.filter(|_| self.architecture == UNKNOWN) {
            self.architecture = value::text(found, 100);
        }
        if let Some(found) = quantization.filter(|_| self.quantization == UNKNOWN) {
            self.quantization = found.as_str().to_owned();
        }
    }

    /// Only what is to be converted is looked at and not ready.
    fn interrupted(&self) -> ModelStatus {
        if self.params_count > 0 {
            ModelStatus::Quantizing
        } else if self.file_path.is_some() {
            ModelStatus::Loading
        } else {
            ModelStatus::Downloading
        }
    }

    /// The progress stays where the work was left.
    fn fail(&mut self, message: &str) {
        self.status = ModelStatus::Error.as_str().to_owned();
        self.error_message = Some(message.to_owned());
    }
}
