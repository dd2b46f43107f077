//! Further samples of events that have optional fields: with those that the first samples lack, or without those that they have. Each has a
//! name, which its golden file has too.

use super::{
    dataset_id, ended, evaluated_site,
    jobs::{completion, generation},
    model_id, slurm,
};
use trainmaster_domain::{
    Event, Lease,
    dataset::{self, DatasetEvent, DatasetSource},
    hub::{Fetched, HubData, HubRepository},
    hyperparameters::{ActivationFunction, Hook, HookSite, Hyperparameters, Optimizer},
    id::CheckpointId,
    job::{self, JobEvent},
    model::{self, ModelEvent, Quantization},
    training::{self, EncoderType, TrainingEvent},
};

fn fetched() -> Fetched {
    Fetched {
        lease: Lease(1),
        seq: 2,
        commit: "ab".repeat(20),
    }
}

/// Every field that has a default has another value.
fn all_hyperparameters() -> Hyperparameters {
    Hyperparameters {
        hooks: Some(vec![HookSite {
            layer: 5,
            hook: Hook::Mlp,
        }]),
        activation_function: Some(ActivationFunction::BatchTopK),
        top_k: Some(32),
        jump_threshold: Some(0.002),
        jump_bandwidth: Some(0.003),
        aux_k_coefficient: Some(0.03125),
        aux_k: Some(288),
        resample_interval: Some(25_000),
        gradient_clip: Some(1.5),
        sparsity_warmup_steps: Some(500),
        buffer_tokens: Some(65_536),
        evaluation_tokens: Some(4_096),
        cache_activations: Some(true),
        optimizer: Optimizer::Adam,
        ..Hyperparameters::default()
    }
}

/// Every shape.
pub fn every_shape() -> Vec<(&'static str, Event)> {
    own_shapes()
        .into_iter()
        .chain(slurm::every_shape())
        .collect()
}

fn own_shapes() -> Vec<(&'static str, Event)> {
    let mut one_site = evaluated_site();
    (one_site.ce_spliced, one_site.ce_score) = (None, None);
    vec![
        (
            "hub",
            DatasetEvent::DatasetRegistered(dataset::Registered {
                name: "wikitext".into(),
                source: DatasetSource::HuggingFace,
                description: None,
                text_column: "text".into(),
                tokenizer_model_id: model_id(),
                context_length: 256,
                hub: Some(HubData {
                    at: HubRepository {
                        repository: "Salesforce/wikitext".into(),
                        revision: "main".into(),
                    },
                    split: Some("train".into()),
                    subset: Some("wikitext-2-raw-v1".into()),
                }),
            })
            .into(),
        ),
        (
            "fetched",
            DatasetEvent::DatasetDownloaded(dataset::Downloaded {
                file_path: "/data/wikitext".into(),
                size_bytes: 6_000_000,
                fetched: Some(fetched()),
            })
            .into(),
        ),
        (
            "hashed",
            DatasetEvent::DatasetIngested(dataset::Ingested {
                lease: Lease(1),
                seq: 3,
                num_samples: 18,
                size_bytes: 11_800_000,
                content_sha256: Some("cd".repeat(32)),
            })
            .into(),
        ),
        (
            "fetched",
            ModelEvent::ModelDownloaded(model::Downloaded {
                file_path: "/data/models/m_smol".into(),
                disk_size_bytes: 269_000_000,
                architecture: Some("llama".into()),
                quantization: Some(Quantization::Fp16),
                fetched: Some(fetched()),
            })
            .into(),
        ),
        (
            "converting",
            ModelEvent::ModelInspected(model::Inspected {
                lease: Lease(1),
                seq: 3,
                params_count: 134_515_008,
                memory_required_bytes: 538_000_000,
                disk_size_bytes: 269_000_000,
                architecture_config: serde_json::json!({"num_layers": 30}),
                architecture: Some("llama".into()),
                quantization: Some(Quantization::Fp16),
                converts_to: Some(Quantization::Q8),
            })
            .into(),
        ),
        (
            "unmeasured",
            ModelEvent::ModelQuantized(model::Quantized {
                lease: Lease(1),
                seq: 4,
                quantized_path: "/data/models/m_smol/quantized".into(),
                disk_size_bytes: 98_000_000,
                memory_required_bytes: 300_000_000,
                loss: None,
            })
            .into(),
        ),
        (
            "full",
            TrainingEvent::TrainingQueued(training::Queued {
                model_id: model_id(),
                dataset_id: dataset_id(),
                encoder_type: EncoderType::Transcoder,
                hyperparameters: all_hyperparameters(),
                total_steps: 10_000,
                import_from: Some("/data/elsewhere".into()),
                placement: None,
            })
            .into(),
        ),
        (
            "layer",
            TrainingEvent::TrainingQueued(training::Queued {
                model_id: model_id(),
                dataset_id: dataset_id(),
                encoder_type: EncoderType::Skip,
                hyperparameters: Hyperparameters {
                    layer: Some(5),
                    ..Hyperparameters::default()
                },
                total_steps: 10_000,
                import_from: None,
                placement: None,
            })
            .into(),
        ),
        (
            "unmeasured",
            TrainingEvent::CheckpointSaved(training::CheckpointSaved {
                lease: Lease(1),
                seq: 4,
                checkpoint_id: CheckpointId::new("cp_0123456789abcdef_0").unwrap(),
                step: 0,
                loss: None,
                sparsity: None,
                storage_path: "/runs/tr_1/checkpoints/0-1".into(),
                file_size_bytes: 63_700_000,
                sha256: "ef".repeat(32),
            })
            .into(),
        ),
        (
            "unspliced",
            TrainingEvent::TrainingEvaluated(training::Evaluated {
                lease: Lease(1),
                seq: 5,
                step: 1000,
                sites: vec![one_site],
            })
            .into(),
        ),
        (
            "nothing",
            TrainingEvent::TrainingStopped(training::Ended {
                result: None,
                ..ended()
            })
            .into(),
        ),
        (
            "generation",
            JobEvent::JobQueued(job::Queued::from(generation())).into(),
        ),
        (
            "plain",
            JobEvent::TextGenerated(job::TextGenerated {
                lease: Lease(1),
                seq: 3,
                plain: completion(", there was"),
                steered: None,
            })
            .into(),
        ),
    ]
}
