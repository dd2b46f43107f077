//! What there is to say of the state of each kind.

use serde_json::{Value, json};
use trainmaster_domain::{
    Aggregate,
    attempt::Attempts,
    cross_validation::CrossValidation,
    dataset::Dataset,
    feature::Feature,
    job::Job,
    kept::{Definition, Kept},
    model::Model,
    slurm::SlurmJob,
    training::Training,
};

/// A state that can be told as JSON.
pub(super) trait Described: Aggregate {
    /// One word.
    fn status(&self) -> &'static str;
    /// The rest.
    fn described(&self) -> Value;
}

impl Described for Training {
    fn status(&self) -> &'static str {
        Self::status(self).as_str()
    }

    fn described(&self) -> Value {
        let definition = self.definition();
        json!({
            "model_id": definition.map(|asked| &asked.model_id),
            "dataset_id": definition.map(|asked| &asked.dataset_id),
            "encoder_type": definition.map(|asked| &asked.encoder_type),
            "hyperparameters": definition.map(|asked| &asked.hyperparameters),
            "import_from": definition.and_then(|asked| asked.import_from.as_ref()),
            "segmentation": self.segmentation(),
            "placement": self.placement(),
            "quality": self.quality(),
            "model": self.model(),
            "current_step": self.current_step(),
            "total_steps": self.total_steps(),
            "requested": self.requested().map(|request| format!("{request:?}").to_lowercase()),
            "checkpoints": self.checkpoints().iter().map(|kept| json!({
                "id": kept.id, "step": kept.step, "loss": kept.loss, "storage_path": kept.path, "file_size_bytes": kept.size_bytes,
            })).collect::<Vec<_>>(),
            "result_path": self.result().map(|result| &result.path),
            "attempts": attempts(self.attempts()),
        })
    }
}

impl Described for SlurmJob {
    fn status(&self) -> &'static str {
        Self::status(self).as_str()
    }

    fn described(&self) -> Value {
        json!({
            "submission": self.submission(),
            "sbatch_id": self.sbatch_id(),
            "lease": self.lease(),
            "restarts": self.restarts(),
            "seen_state": self.seen_state(),
            "failure": self.failure(),
        })
    }
}

impl Described for CrossValidation {
    fn status(&self) -> &'static str {
        match (self.queued(), self.has_folds()) {
            (None, _) => "absent",
            (Some(_), false) => "queued",
            (Some(_), true) => "folds_queued",
        }
    }

    fn described(&self) -> Value {
        json!({ "queued": self.queued() })
    }
}

impl Described for Dataset {
    fn status(&self) -> &'static str {
        Self::status(self).as_str()
    }

    fn described(&self) -> Value {
        json!({
            "registered": self.registered(),
            "files": self.files(),
            "content_sha256": self.content_sha256(),
            "tokenizer_model_id": self.tokenizer(),
            "tokenized_path": self.latest_tokenized_path(),
            "attempts": attempts(self.attempts()),
        })
    }
}

impl Described for Model {
    fn status(&self) -> &'static str {
        Self::status(self).as_str()
    }

    fn described(&self) -> Value {
        json!({
            "registered": self.registered(),
            "files": self.files(),
            "num_layers": self.num_layers(),
            "quantized": self.quantized(),
            "attempts": attempts(self.attempts()),
        })
    }
}

impl Described for Job {
    fn status(&self) -> &'static str {
        Self::status(self).as_str()
    }

    fn described(&self) -> Value {
        json!({
            "work": self.work(),
            "progress": self.progress().map(|(stage, percent)| json!({ "stage": stage, "percent": percent })),
            "requested": self.requested().map(|request| format!("{request:?}").to_lowercase()),
            "text": self.text(),
            "extracted": self.extracted(),
            "failure": self.failure(),
            "attempts": attempts(self.attempts()),
        })
    }
}

impl Described for Feature {
    fn status(&self) -> &'static str {
        "there"
    }

    fn described(&self) -> Value {
        json!({ "labels": self.labels(), "flags": self.flags() })
    }
}

impl<D: Definition> Described for Kept<D> {
    fn status(&self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::There { .. } => "there",
            Self::Deleted => "deleted",
        }
    }

    fn described(&self) -> Value {
        match self {
            Self::There {
                definition,
                is_favorite,
            } => json!({ "definition": definition, "is_favorite": is_favorite }),
            Self::Absent | Self::Deleted => json!({}),
        }
    }
}

fn attempts(attempts: &Attempts) -> Value {
    json!({
        "lease": attempts.lease,
        "live": attempts.live,
        "worker_id": attempts.worker_id,
        "host": attempts.host,
        "device": attempts.device,
        "crashes": attempts.crashes,
        "retries": attempts.retries,
        "not_before": attempts.not_before,
    })
}
