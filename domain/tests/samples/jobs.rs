//! One sample of every event of a job.

use super::{claimed, dataset_id, expired, failed, model_id, retried};
use trainmaster_domain::{
    Lease,
    hyperparameters::Hook,
    id::TrainingId,
    job::{
        ActivationsAttached, Ended, Extraction, FeatureBlock, FeaturesExtracted, FeaturesLabelled,
        FeaturesScored, Generation, Intervention, JobEvent, JobWork, Progressed, Queued,
        TextGenerated,
    },
    run::{
        journal::{Artifact, Completion, CompletionEnd, Scoring},
        spec::{Sampling, SteeredFeature},
    },
};

pub fn training_id() -> TrainingId {
    TrainingId::new("tr_1").unwrap()
}

pub fn extraction() -> JobWork {
    JobWork::Extraction(Extraction {
        training_id: training_id(),
        dataset_id: dataset_id(),
        layers: Some(vec![5]),
        hook_types: Some(vec![Hook::Residual]),
        max_samples: Some(10_000),
        top_k_examples: 100,
        context_tokens: 25,
        minimum_frequency: 0.001,
        first_feature_id: 17_000,
        latents: 4_608,
    })
}

pub fn generation() -> JobWork {
    JobWork::Generation(Generation {
        model_id: model_id(),
        prompt: "Once upon a time".into(),
        chat: false,
        sampling: Sampling::default(),
        intervention: Some(Intervention {
            training_id: training_id(),
            preset_id: Some("preset_1".into()),
            layer: 5,
            features: vec![SteeredFeature {
                feature_id: 17_042,
                neuron_index: 42,
                coefficient: 2.5,
                max_activation: 8.25,
            }],
        }),
    })
}

pub fn block() -> FeatureBlock {
    FeatureBlock {
        training_id: training_id(),
        first_feature_id: 17_000,
        latents: 4_608,
    }
}

pub fn artifact(name: &str, rows: i64) -> Artifact {
    Artifact {
        path: format!("/runs/job_1/result/{name}"),
        sha256: "0a".repeat(32),
        size_bytes: 1_000_000,
        rows,
    }
}

pub fn scoring() -> Scoring {
    Scoring {
        version: 1,
        components: vec!["example_embedding".into(), "output".into()],
        embedder: "model".into(),
        permuted_mean: 0.25,
        permuted_p95: 0.5,
    }
}

pub fn completion(text: &str) -> Completion {
    Completion {
        text: text.into(),
        tokens: 3,
        ended: CompletionEnd::Length,
    }
}

pub fn every_event() -> Vec<JobEvent> {
    let (lease, block) = (Lease(1), block());
    let features = artifact("features.parquet", 1_234);
    vec![
        JobEvent::JobQueued(Queued::from(extraction())),
        JobEvent::JobClaimed(claimed(1)),
        JobEvent::JobProgressed(Progressed {
            lease,
            seq: 2,
            stage: "reading".into(),
            percent: 12.5,
        }),
        JobEvent::FeaturesExtracted(FeaturesExtracted {
            lease,
            seq: 3,
            block: block.clone(),
            artifact: features.clone(),
            samples: 10_000,
            tokens: 2_550_000,
        }),
        JobEvent::FeaturesLabelled(FeaturesLabelled {
            lease,
            seq: 3,
            block: block.clone(),
            artifact: features.clone(),
        }),
        JobEvent::FeaturesScored(FeaturesScored {
            lease,
            seq: 3,
            block: block.clone(),
            artifact: features,
            scoring: scoring(),
        }),
        JobEvent::ActivationsAttached(ActivationsAttached {
            lease,
            seq: 3,
            block,
            artifact: artifact("activations.parquet", 123_400),
        }),
        JobEvent::TextGenerated(TextGenerated {
            lease,
            seq: 3,
            plain: completion(", there was"),
            steered: Some(completion(", it rained")),
        }),
        JobEvent::JobCompleted(Ended { lease, seq: 3 }),
        JobEvent::CancelRequested {},
        JobEvent::JobCancelled(Ended { lease, seq: 3 }),
        JobEvent::JobFailed(failed()),
        JobEvent::JobLeaseExpired(expired()),
        JobEvent::JobRetried(retried()),
    ]
}
