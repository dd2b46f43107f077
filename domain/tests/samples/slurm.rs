//! Samples of what happens on a cluster, and of trainings on images.

use super::{at, claimed, dataset_id, model_id};
use trainmaster_domain::{
    Category, Event, Lease, StreamId,
    cross_validation::{self, CrossValidationEvent},
    hyperparameters::Hyperparameters,
    id::{CrossValidationId, TrainingId},
    job::{self, JobEvent, JobWork, Prediction, PredictionInput},
    run::journal::{MetricsBatch, SegmentationQuality},
    segmentation::{SegmentationSettings, Split},
    slurm::{
        JobType, Placement, SlurmJobEvent, SlurmResources, Submission, TrainingDescription,
        event::{Ended, Failed, HandedOver, Refused, Requeued, Started, StateSeen, Submitted},
    },
    training::{
        self, EncoderType, Fold, MetricsRecorded, ModelProduced, SegmentationEvaluated,
        SegmentationQueued, TrainingEvent,
    },
};

pub fn placement() -> Placement {
    Placement {
        cluster: "campus".into(),
        resources: SlurmResources {
            cpus: Some(8),
            memory_mib: Some(16_384),
            gpus: Some(1),
            partition: Some("gpu,long".into()),
            account: Some("lab".into()),
            qos: Some("normal".into()),
            time_limit_minutes: Some(120),
            array_limit: Some(2),
        },
    }
}

fn group() -> CrossValidationId {
    CrossValidationId::new("cv_1").unwrap()
}

pub fn segmentation(placement: Option<Placement>) -> SegmentationQueued {
    SegmentationQueued {
        name: "brains".into(),
        images_path: "/data/images".into(),
        labels_path: "/data/labels".into(),
        settings: SegmentationSettings {
            classes: Some(3),
            ..SegmentationSettings::default()
        },
        total_steps: 2_000,
        fold: Some(Fold {
            group: group(),
            split: Split {
                index: 1,
                folds: 3,
                seed: 42,
            },
        }),
        placement,
    }
}

pub fn prediction() -> JobWork {
    JobWork::Prediction(Prediction {
        model_id: "5e0c7b12-90f6-5a55-8f0a-0d5a4b6c7d8e".into(),
        training_id: TrainingId::new("seg_1_1").unwrap(),
        input: PredictionInput {
            images: vec!["/data/new/a.png".into()],
            labels_path: Some("/data/new/labels".into()),
        },
        output_dir: "/data/predictions".into(),
    })
}

pub fn submission() -> Submission {
    Submission {
        submission_id: "0b6f5c0e-6e55-5a0c-9d49-3f6c4a1b2c3d".into(),
        run: StreamId::new(Category::Training, "seg_1_1"),
        lease: Lease(1),
        cluster: "campus".into(),
        job_type: JobType::Training,
        fold_index: 1,
        array_index: Some(1),
        script: "#!/bin/bash\nexec trainmaster-trainer slurm /data/slurm/0b6f\n".into(),
        training: Some(TrainingDescription {
            name: "brains".into(),
            images_path: Some("/data/images".into()),
            labels_path: Some("/data/labels".into()),
            model_path: Some("/data/runs/seg_1_1/result".into()),
        }),
        output_dir: None,
    }
}

pub fn quality() -> SegmentationQuality {
    SegmentationQuality {
        step: 200,
        images: 40,
        loss: 0.25,
        dice: vec![Some(0.875), None],
        mean_dice: Some(0.875),
    }
}

pub fn every_event() -> Vec<Event> {
    let slurm = [
        SlurmJobEvent::SlurmSubmissionIntended(submission()),
        SlurmJobEvent::SlurmJobSubmitted(Submitted {
            sbatch_id: "1234_1".into(),
            submission: submission(),
        }),
        SlurmJobEvent::SlurmSubmissionRefused(Refused {
            message: "Invalid partition name specified".into(),
        }),
        SlurmJobEvent::SlurmJobStarted(Started {
            at: at(60),
            restarts: 0,
        }),
        SlurmJobEvent::SlurmJobRequeued(Requeued {
            restarts: 1,
            reason: Some("BeginTime".into()),
        }),
        SlurmJobEvent::SlurmJobHandedOver(HandedOver {
            lease: Lease(2),
            restarts: 1,
        }),
        SlurmJobEvent::SlurmCancelRequested {},
        SlurmJobEvent::SlurmStateSeen(StateSeen {
            state: "TELEPORTING".into(),
        }),
        SlurmJobEvent::SlurmJobCompleted(Ended { at: at(120) }),
        SlurmJobEvent::SlurmJobFailed(Failed {
            at: at(120),
            state: Some("NODE_FAIL".into()),
            message: "SLURM ended it: NODE_FAIL.".into(),
        }),
    ];
    let validation = [
        CrossValidationEvent::CrossValidationQueued(Box::new(cross_validation::Queued {
            name: "brains".into(),
            images_path: "/data/images".into(),
            labels_path: "/data/labels".into(),
            settings: SegmentationSettings::default(),
            folds: 3,
            placement: Some(placement()),
        })),
        CrossValidationEvent::FoldsQueued {},
    ];
    let training = [
        TrainingEvent::SegmentationQueued(Box::new(segmentation(Some(placement())))),
        TrainingEvent::SegmentationEvaluated(SegmentationEvaluated {
            lease: Lease(1),
            seq: 5,
            quality: quality(),
        }),
        TrainingEvent::ModelProduced(ModelProduced {
            lease: Lease(1),
            model_id: "5e0c7b12-90f6-5a55-8f0a-0d5a4b6c7d8e".into(),
            model_name: "brains_model".into(),
        }),
    ];
    let predicted = JobEvent::Predicted(job::Predicted {
        lease: Lease(1),
        seq: 4,
        output_dir: "/data/predictions".into(),
        prediction: serde_json::json!({ "images": [{ "path": "/data/new/a.png" }] }),
    });
    slurm
        .map(Event::from)
        .into_iter()
        .chain(validation.map(Event::from))
        .chain(training.map(Event::from))
        .chain([Event::from(predicted)])
        .collect()
}

/// Further shapes: with what the first samples lack, or without what they have.
pub fn every_shape() -> Vec<(&'static str, Event)> {
    let mut alone = submission();
    (alone.array_index, alone.training) = (None, None);
    alone.job_type = JobType::Inference;
    alone.output_dir = Some("/data/predictions".into());
    let queued = JobEvent::JobQueued(job::Queued {
        work: prediction(),
        placement: Some(placement()),
    });
    let started = TrainingEvent::TrainingStarted(training::Started {
        lease: Lease(1),
        seq: 2,
        at_step: 0,
        d_in: None,
        d_sae: None,
    });
    let recorded = TrainingEvent::MetricsRecorded(MetricsRecorded {
        lease: Lease(1),
        seq: 3,
        metrics: MetricsBatch {
            steps: vec![1, 10],
            loss: vec![0.75, 0.5],
            dice: vec![0.25, 0.5],
            learning_rate: vec![0.001, 0.001],
            at: vec![at(1), at(2)],
            tokens_per_second: 12.5,
            ..MetricsBatch::default()
        },
        progress: Some(0.5),
    });
    let mut whole = segmentation(None);
    whole.fold = None;
    let mut unmeasured = quality();
    unmeasured.mean_dice = None;
    let mut claimed = claimed(1);
    (claimed.device, claimed.gpu_id) = ("slurm:campus".into(), None);
    vec![
        (
            "alone",
            SlurmJobEvent::SlurmSubmissionIntended(alone).into(),
        ),
        (
            "silent",
            SlurmJobEvent::SlurmJobRequeued(Requeued {
                restarts: 1,
                reason: None,
            })
            .into(),
        ),
        (
            "unknown",
            SlurmJobEvent::SlurmJobFailed(Failed {
                at: at(120),
                state: None,
                message: "outcome unknown".into(),
            })
            .into(),
        ),
        ("prediction", queued.into()),
        (
            "placed",
            TrainingEvent::TrainingQueued(training::Queued {
                model_id: model_id(),
                dataset_id: dataset_id(),
                encoder_type: EncoderType::Sparse,
                hyperparameters: Hyperparameters::default(),
                total_steps: 10_000,
                import_from: None,
                placement: Some(Box::new(placement())),
            })
            .into(),
        ),
        ("images", started.into()),
        ("images", recorded.into()),
        (
            "alone",
            TrainingEvent::SegmentationQueued(Box::new(whole)).into(),
        ),
        (
            "unmeasured",
            TrainingEvent::SegmentationEvaluated(SegmentationEvaluated {
                lease: Lease(1),
                seq: 5,
                quality: unmeasured,
            })
            .into(),
        ),
        ("slurm", TrainingEvent::TrainingClaimed(claimed).into()),
    ]
}
