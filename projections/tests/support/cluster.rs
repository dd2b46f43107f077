//! What is said of segmentations, predictions and SLURM jobs, as JSON.
#![allow(dead_code, reason = "each test binary uses a part")]

use crate::{story::Story, tables::PIC};
use serde_json::{Value, json};
use trainmaster_domain::{Category::Training, Lease, StreamId, slurm::id};

pub const SCRIPT: &str = "#!/bin/sh\n#SBATCH --comment trainmaster\n";

pub const MODEL: &str = "6f1c9a52-0a7e-5f0e-9d52-3f0a53c1b111";

pub fn settings() -> Value {
    serde_json::to_value(trainmaster_domain::segmentation::SegmentationSettings::default()).unwrap()
}

pub fn segmentation(placement: Option<Value>) -> Value {
    let mut queued = json!({ "name": "heart", "images_path": "/data/images", "labels_path": "/data/labels",
        "settings": settings(), "total_steps": 200,
        "fold": { "group": "cv_1", "split": { "index": 3, "folds": 5, "seed": 7 } } });
    if let Some(placement) = placement {
        queued["placement"] = placement;
    }
    queued
}

pub fn placement() -> Value {
    json!({ "cluster": "campus", "resources": {} })
}

/// What was submitted for a run of this kind.
pub fn submission(category: &str, run: &str, lease: u64) -> Value {
    let mut submission = json!({ "submission_id": "s", "run": { "category": category, "id": run }, "lease": lease,
        "cluster": "campus", "script": SCRIPT });
    let more = if category == "training" {
        json!({ "job_type": "TRAINING", "fold_index": 3, "training": { "name": "heart", "images_path": "/data/images",
            "labels_path": "/data/labels", "model_path": "/models/heart" } })
    } else {
        json!({ "job_type": "INFERENCE", "fold_index": 0, "output_dir": "/predictions/1" })
    };
    submission
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    submission
}

pub fn job_of(run: &StreamId, lease: u64) -> String {
    id::slurm_job(run, Lease(lease))
}

pub fn ended(lease: u64, step: u64, has_result: bool) -> Value {
    let mut ended = json!({ "lease": lease, "seq": 9, "step": step });
    if has_result {
        ended["result"] = json!({ "path": "/runs/seg_1/result", "sha256": "ab" });
    }
    ended
}

pub fn metrics(step: u64, progress: f64) -> Value {
    json!({ "lease": 1, "seq": 2, "progress": progress, "metrics": { "steps": [step], "loss": [0.5], "dice": [0.7],
        "learning_rate": [0.001], "at": ["2026-10-01T00:00:00Z"], "tokens_per_second": 1.0 } })
}

pub fn failed(code: &str, message: &str) -> Value {
    json!({ "lease": 1, "seq": 3, "code": code, "message": message })
}

/// A model that predictions can be asked of.
pub async fn with_model() -> Story {
    let mut story = Story::begin(PIC).await;
    story
        .tell(Training, "seg_1", "SegmentationQueued", segmentation(None))
        .await;
    story
        .tell(
            Training,
            "seg_1",
            "ModelProduced",
            json!({ "lease": 1, "model_id": MODEL, "model_name": "heart_model" }),
        )
        .await;
    story
}

pub fn prediction(placement: Option<Value>) -> Value {
    let mut queued = json!({ "work": { "kind": "prediction", "model_id": MODEL, "training_id": "seg_1",
        "input": { "images": ["/data/new/1.png"] }, "output_dir": "/predictions/asked" } });
    if let Some(placement) = placement {
        queued["placement"] = placement;
    }
    queued
}
