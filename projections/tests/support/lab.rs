//! A trained autoencoder and extractions of its features.
#![allow(dead_code, reason = "each test binary uses a part")]

use chrono::DateTime;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;
use trainmaster_domain::{
    Category, Event, Metadata, Position, RecordedEvent, StreamId, run::journal::Artifact,
};
use trainmaster_tests::artifacts::{ActivationRow, FeatureRow, write_activations, write_features};

/// Latents of each of the two autoencoders of training `tr_1`: they share a partition.
pub const D_SAE: i32 = 1_500;

/// Events as they are recorded, and a directory for artifacts.
pub struct Lab {
    pub directory: TempDir,
    pub events: Vec<RecordedEvent>,
}

impl Lab {
    /// With a model, a dataset and the training `tr_1` of two autoencoders, at layers 5 and 9.
    pub fn new() -> Self {
        let mut lab = Self {
            directory: tempfile::tempdir().unwrap(),
            events: vec![],
        };
        lab.record(
            Category::Model,
            "m_1",
            json!({ "type": "ModelRegistered", "payload": {
            "name": "SmolLM2", "architecture": "llama", "quantization": "Q4",
            "source": { "kind": "local", "path": "/models/x.gguf", "format": "gguf" } } }),
        );
        lab.record(
            Category::Dataset,
            "ds_1",
            json!({ "type": "DatasetRegistered", "payload": {
            "name": "books", "source": "Local", "description": null,
            "origin": { "kind": "local", "path": "/data/books" },
            "tokenizer_model_id": "m_1", "text_column": "text", "context_length": 256 } }),
        );
        let hyperparameters = json!({ "learningRate": 0.001, "batchSize": 256, "l1Coefficient": 0.0001,
            "expansionFactor": 8, "trainingSteps": 10, "optimizer": "AdamW", "lrSchedule": "constant",
            "ghostGradPenalty": false, "hooks": [{ "layer": 5 }, { "layer": 9 }] });
        for id in ["tr_1", "tr_2"] {
            lab.record(
                Category::Training,
                id,
                json!({ "type": "TrainingQueued", "payload": {
                "model_id": "m_1", "dataset_id": "ds_1", "encoder_type": "sparse",
                "hyperparameters": hyperparameters, "total_steps": 10 } }),
            );
        }
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn record(&mut self, category: Category, id: &str, event: Value) {
        let told = self.events.len() as i64 + 1;
        let event_type = event["type"].as_str().unwrap().to_owned();
        let event = Event::from_stored(category, &event_type, 1, event["payload"].clone()).unwrap();
        self.events.push(RecordedEvent {
            position: Position {
                transaction: 700 + told.unsigned_abs(),
                sequence: told,
            },
            stream: StreamId::new(category, id),
            version: 1,
            event,
            metadata: Metadata::default(),
            recorded_at: DateTime::from_timestamp(1_790_000_000 + told, 250_001_000).unwrap(),
        });
    }

    pub fn say(&mut self, feature: i64, kind: &str, payload: Value) {
        self.record(
            Category::Feature,
            &feature.to_string(),
            json!({ "type": kind, "payload": payload }),
        );
    }

    /// The four events of an extraction of `training`, whose files are named after `job`.
    pub fn extract(
        &mut self,
        job: &str,
        training: &str,
        first_feature_id: i64,
        latents: &[FeatureRow],
        examples: &[ActivationRow],
    ) {
        let features = write_features(&self.path(&format!("{job}.features.parquet")), latents);
        let activations =
            write_activations(&self.path(&format!("{job}.activations.parquet")), examples);
        self.announce(job, training, first_feature_id, &features, &activations);
    }

    pub fn announce(
        &mut self,
        job: &str,
        training: &str,
        first_feature_id: i64,
        features: &Artifact,
        activations: &Artifact,
    ) {
        let block = json!({ "training_id": training, "first_feature_id": first_feature_id, "latents": 2 * D_SAE });
        let scoring = json!({ "version": 1, "components": [], "embedder": "model", "permuted_mean": 0.2, "permuted_p95": 0.4 });
        for (kind, artifact, more) in [
            (
                "FeaturesExtracted",
                features,
                json!({ "samples": 10, "tokens": 2_550 }),
            ),
            ("FeaturesLabelled", features, json!({})),
            ("FeaturesScored", features, json!({ "scoring": scoring })),
            ("ActivationsAttached", activations, json!({})),
        ] {
            let mut payload = json!({ "lease": 1, "seq": 3, "block": block, "artifact": artifact });
            payload
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            self.record(
                Category::Job,
                job,
                json!({ "type": kind, "payload": payload }),
            );
        }
    }
}

/// A latent whose name, score and statistics follow from `generation`.
pub fn latent(neuron_index: i32, generation: i32) -> FeatureRow {
    FeatureRow {
        neuron_index,
        layer: if neuron_index < D_SAE { 5 } else { 9 },
        frequency: 0.01 * f64::from(generation),
        max: 10.0 * f64::from(generation),
        name: Some(format!("latent {neuron_index} as of {generation}")),
        description: Some(format!("found {generation} times")),
        score: Some(0.25 * f64::from(generation)),
    }
}

/// The n-th strongest example of a latent.
pub fn example(neuron_index: i32, n: i32, generation: i32) -> ActivationRow {
    let max = f64::from(100 * generation - n);
    ActivationRow {
        neuron_index,
        sample: Some(n),
        tokens: r#"["It"," is\u0000","\n",""a" ]"#.replace(r#"""a" "#, r#""\"a\"""#),
        activations: format!("[0.0, 0.5, {max:.1}, 0.0]"),
        max,
        before: Some(format!("before {n}\0")),
        after: None,
    }
}

/// Two examples of each.
pub fn examples(latents: &[i32], generation: i32) -> Vec<ActivationRow> {
    latents
        .iter()
        .flat_map(|latent| (0..2).map(move |n| example(*latent, n, generation)))
        .collect()
}

pub fn latents(neurons: &[i32], generation: i32) -> Vec<FeatureRow> {
    neurons
        .iter()
        .map(|neuron| latent(*neuron, generation))
        .collect()
}
