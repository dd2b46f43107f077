//! One sample of every event, shared by the tests of this folder.
#![allow(dead_code, reason = "each test binary uses a part")]

#[path = "jobs.rs"]
pub mod jobs;
#[path = "kept.rs"]
pub mod kept;
#[path = "shapes.rs"]
pub mod shapes;
#[path = "slurm.rs"]
pub mod slurm;

use chrono::{DateTime, Utc};
use trainmaster_domain::{
    Event, Lease,
    attempt::{Claimed, Failed, LeaseExpired, LossReason, Retried},
    dataset::{self, DatasetEvent, DatasetSource, DatasetStatus},
    feature::{self, FeatureEvent},
    hub::HubRepository,
    hyperparameters::{Hook, Hyperparameters},
    id::{CheckpointId, DatasetId, ModelId},
    model::{self, ModelEvent, ModelStatus, Quantization},
    run::journal::{ConversionLoss, EvaluatedSite, MetricsBatch},
    training::{self, EncoderType, TrainingEvent},
};

pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 250_000_000).unwrap()
}

pub fn model_id() -> ModelId {
    ModelId::new("m_smol").unwrap()
}

pub fn dataset_id() -> DatasetId {
    DatasetId::new("ds_books").unwrap()
}

pub fn claimed(lease: u64) -> Claimed {
    Claimed {
        lease: Lease(lease),
        worker_id: "edge-01k9".into(),
        host: "edge".into(),
        device: "cuda:0".into(),
        gpu_id: Some(0),
    }
}

pub fn failed() -> Failed {
    Failed {
        lease: Lease(1),
        seq: 7,
        code: "loss_not_finite".into(),
        message: "The loss became NaN at step 12; lower learningRate.".into(),
    }
}

pub fn expired() -> LeaseExpired {
    LeaseExpired {
        lease: Lease(1),
        reason: LossReason::NoHeartbeat,
        message: "No heartbeat for 30 s.".into(),
    }
}

pub fn retried() -> Retried {
    Retried {
        not_before: Some(at(9)),
        automatic: true,
    }
}

pub fn metrics(steps: &[u64]) -> MetricsBatch {
    let rows = steps.len();
    MetricsBatch {
        steps: steps.to_vec(),
        loss: vec![12.5; rows],
        sparsity: vec![31.25; rows],
        reconstruction_error: vec![10.125; rows],
        dead_neurons: vec![3; rows],
        dice: vec![],
        explained_variance: vec![0.875; rows],
        learning_rate: vec![0.001; rows],
        at: vec![at(5); rows],
        tokens_per_second: 14_000.0,
    }
}

pub fn evaluated_site() -> EvaluatedSite {
    EvaluatedSite {
        layer: 5,
        hook: Hook::Mlp,
        explained_variance: 0.875,
        active_latents: 31.25,
        dead_latents: 12,
        dense_latents: 3,
        ce_clean: 3.5,
        ce_spliced: Some(3.75),
        ce_ablated: 5.5,
        ce_score: Some(0.875),
        tokens: 2_048,
    }
}

pub fn ended() -> training::Ended {
    training::Ended {
        lease: Lease(1),
        seq: 9,
        step: 100,
        result: Some(training::ResultFiles {
            path: "/runs/tr_1/result".into(),
            sha256: "ab".repeat(32),
        }),
    }
}

fn features() -> [FeatureEvent; 2] {
    [
        FeatureEvent::FeatureLabelled(feature::Labels {
            name: Some("rain".into()),
            description: Some("Weather that falls.".into()),
        }),
        FeatureEvent::FeatureFlagged(feature::Flags {
            is_favorite: Some(true),
            is_hidden: Some(false),
        }),
    ]
}

/// One of each, in no particular order.
pub fn every_event() -> Vec<Event> {
    let dataset = [
        DatasetEvent::DatasetRegistered(dataset::Registered {
            name: "books".into(),
            source: DatasetSource::Local,
            description: Some("18 books".into()),
            text_column: "text".into(),
            tokenizer_model_id: model_id(),
            context_length: 256,
            hub: None,
        }),
        DatasetEvent::DatasetDownloaded(dataset::Downloaded {
            file_path: "/data/books".into(),
            size_bytes: 11_800_000,
            fetched: None,
        }),
        DatasetEvent::DatasetClaimed(claimed(1)),
        DatasetEvent::DatasetProgressed(dataset::Progressed {
            lease: Lease(1),
            seq: 2,
            stage: DatasetStatus::Ingesting,
            percent: 42.5,
        }),
        DatasetEvent::DatasetIngested(dataset::Ingested {
            lease: Lease(1),
            seq: 3,
            num_samples: 18,
            size_bytes: 11_800_000,
            content_sha256: None,
        }),
        DatasetEvent::DatasetTokenized(dataset::Tokenized {
            lease: Lease(1),
            seq: 4,
            tokenized_path: "/data/tokenized/ds_books".into(),
            num_tokens: 3_200_000,
            vocab_size: 49_152,
            avg_sequence_length: 177_777.75,
            num_sequences: 12_549,
            sha256: "cd".repeat(32),
        }),
        DatasetEvent::DatasetFailed(failed()),
        DatasetEvent::DatasetLeaseExpired(expired()),
        DatasetEvent::DatasetRetried(retried()),
        DatasetEvent::DatasetTokenizationRequested(dataset::TokenizationRequested {
            tokenizer_model_id: model_id(),
        }),
        DatasetEvent::DatasetDeleted {},
    ];
    let model = [
        ModelEvent::ModelRegistered(model::Registered {
            name: "HuggingFaceTB/SmolLM2-135M".into(),
            architecture: Some("llama".into()),
            quantization: Some(Quantization::Q4),
            hub: Some(HubRepository {
                repository: "HuggingFaceTB/SmolLM2-135M".into(),
                revision: "main".into(),
            }),
        }),
        ModelEvent::ModelDownloaded(model::Downloaded {
            file_path: "/data/smollm2.gguf".into(),
            disk_size_bytes: 98_000_000,
            architecture: None,
            quantization: None,
            fetched: None,
        }),
        ModelEvent::ModelClaimed(claimed(1)),
        ModelEvent::ModelProgressed(model::Progressed {
            lease: Lease(1),
            seq: 2,
            stage: ModelStatus::Quantizing,
            percent: 42.5,
        }),
        ModelEvent::ModelInspected(model::Inspected {
            lease: Lease(1),
            seq: 2,
            params_count: 134_515_008,
            memory_required_bytes: 538_000_000,
            disk_size_bytes: 98_000_000,
            architecture_config: serde_json::json!({"num_layers": 30, "hidden_size": 576}),
            architecture: None,
            quantization: None,
            converts_to: None,
        }),
        ModelEvent::ModelQuantized(model::Quantized {
            lease: Lease(1),
            seq: 3,
            quantized_path: "/data/models/m_smol/quantized".into(),
            disk_size_bytes: 98_000_000,
            memory_required_bytes: 300_000_000,
            loss: Some(ConversionLoss {
                before: 3.25,
                after: 3.5,
                evaluated_on: "Jane Austen, Emma, chapter I".into(),
                tokens: 1_000,
            }),
        }),
        ModelEvent::ModelFailed(failed()),
        ModelEvent::ModelLeaseExpired(expired()),
        ModelEvent::ModelRetried(retried()),
        ModelEvent::ModelDeleted {},
    ];
    let training = [
        TrainingEvent::TrainingQueued(training::Queued {
            model_id: model_id(),
            dataset_id: dataset_id(),
            encoder_type: EncoderType::Sparse,
            hyperparameters: Hyperparameters::default(),
            total_steps: 10_000,
            import_from: None,
            placement: None,
        }),
        TrainingEvent::TrainingClaimed(claimed(1)),
        TrainingEvent::TrainingStarted(training::Started {
            lease: Lease(1),
            seq: 2,
            at_step: 0,
            d_in: Some(576),
            d_sae: Some(4608),
        }),
        TrainingEvent::MetricsRecorded(training::MetricsRecorded {
            lease: Lease(1),
            seq: 3,
            metrics: metrics(&[1, 100]),
            progress: None,
        }),
        TrainingEvent::CheckpointSaved(training::CheckpointSaved {
            lease: Lease(1),
            seq: 4,
            checkpoint_id: CheckpointId::new("cp_0123456789abcdef_1000").unwrap(),
            step: 1000,
            loss: Some(12.5),
            sparsity: Some(31.25),
            storage_path: "/runs/tr_1/checkpoints/1000-1".into(),
            file_size_bytes: 63_700_000,
            sha256: "ef".repeat(32),
        }),
        TrainingEvent::TrainingEvaluated(training::Evaluated {
            lease: Lease(1),
            seq: 5,
            step: 1000,
            sites: vec![evaluated_site()],
        }),
        TrainingEvent::PauseRequested {},
        TrainingEvent::TrainingPaused(training::Paused {
            lease: Lease(1),
            seq: 5,
            step: 1000,
            forced: false,
        }),
        TrainingEvent::TrainingResumed {},
        TrainingEvent::StopRequested {},
        TrainingEvent::TrainingStopped(ended()),
        TrainingEvent::TrainingCompleted(ended()),
        TrainingEvent::TrainingFailed(failed()),
        TrainingEvent::TrainingErrored(failed()),
        TrainingEvent::TrainingLeaseExpired(expired()),
        TrainingEvent::TrainingRetried(retried()),
        TrainingEvent::TrainingDeleted {},
        TrainingEvent::MetricsPruned(training::MetricsPruned { before: at(7) }),
        TrainingEvent::CheckpointPruned(training::CheckpointPruned {
            checkpoint_id: CheckpointId::new("cp_0123456789abcdef_1000").unwrap(),
            step: 1000,
            storage_path: "/runs/tr_1/checkpoints/1000-1".into(),
            file_size_bytes: 63_700_000,
        }),
        TrainingEvent::ActivationsPruned(training::ActivationsPruned {
            keep_top: 100,
            minimum: 0.1,
        }),
    ];
    dataset
        .map(Event::from)
        .into_iter()
        .chain(model.map(Event::from))
        .chain(training.map(Event::from))
        .chain(jobs::every_event().into_iter().map(Event::from))
        .chain(features().map(Event::from))
        .chain(kept::every_event())
        .chain(slurm::every_event())
        .collect()
}

pub fn category(event: &Event) -> trainmaster_domain::Category {
    match event {
        Event::Dataset(_) => trainmaster_domain::Category::Dataset,
        Event::Model(_) => trainmaster_domain::Category::Model,
        Event::Training(_) => trainmaster_domain::Category::Training,
        Event::Job(_) => trainmaster_domain::Category::Job,
        Event::Feature(_) => trainmaster_domain::Category::Feature,
        Event::TrainingTemplate(_) => trainmaster_domain::Category::TrainingTemplate,
        Event::ExtractionTemplate(_) => trainmaster_domain::Category::ExtractionTemplate,
        Event::Preset(_) => trainmaster_domain::Category::Preset,
        Event::SlurmJob(_) => trainmaster_domain::Category::SlurmJob,
        Event::CrossValidation(_) => trainmaster_domain::Category::CrossValidation,
    }
}
