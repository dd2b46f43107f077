//! What is asked next: mostly what a daemon would ask in that state, so that trainings get far.

use super::{Command, Draw, History};
use chrono::{DateTime, Utc};
use trainmaster_domain::{
    Aggregate, Category, StreamId,
    attempt::{Attempts, Claim, Loss, LossReason, Report, RetryPolicy},
    dataset::{self, DatasetCommand, DatasetSource, DatasetStatus},
    hyperparameters::{Hook, Hyperparameters},
    id::{DatasetId, ModelId},
    model::{self, ModelCommand, ModelStatus, Quantization},
    run::{control::Request, journal},
    training::{EncoderType, QueueTraining, Training, TrainingCommand, TrainingStatus},
};

const POLICY: RetryPolicy = RetryPolicy {
    max_crashes: 2,
    backoff_initial_ms: 1_000,
    backoff_max_ms: 4_000,
};

impl History {
    pub(super) fn choose(&mut self) -> Command {
        if self.datasets.is_empty() || self.draw.one_in(150) {
            return self.register_dataset();
        }
        if self.models.is_empty() || self.draw.one_in(150) {
            return self.register_model();
        }
        if self.trainings.is_empty() || self.draw.one_in(60) {
            return self.queue_training();
        }
        if self.draw.one_in(25)
            && let Some(command) = self.remove()
        {
            return command;
        }
        if self.around.is_some()
            && self.draw.one_in(5)
            && let Some(command) = self.happen_around()
        {
            return command;
        }
        if self.cluster.is_some()
            && self.draw.one_in(3)
            && let Some(command) = self.happen_on_clusters()
        {
            return command;
        }
        match self.draw.below(10) {
            0 => self.of_dataset(),
            1 => self.of_model(),
            _ => self.of_training(),
        }
    }

    fn register_dataset(&mut self) -> Command {
        let id = format!("ds_{:03}", self.datasets.len());
        let command = DatasetCommand::RegisterLocal {
            registered: dataset::Registered {
                name: format!("Books “{id}”\n日本語"),
                source: DatasetSource::Local,
                description: self.draw.one_in(2).then(|| "Novels.".to_owned()),
                text_column: "text".to_owned(),
                tokenizer_model_id: ModelId::new("m_000").expect("a valid id"),
                context_length: 256,
                hub: None,
            },
            files: dataset::Downloaded {
                file_path: format!("/data/{id}"),
                size_bytes: self.draw.below(1 << 40).cast_signed(),
                fetched: None,
            },
        };
        Command::Dataset(id, command)
    }

    fn register_model(&mut self) -> Command {
        let id = format!("m_{:03}", self.models.len());
        let command = ModelCommand::RegisterLocal {
            registered: model::Registered {
                name: format!("Model {id}"),
                architecture: Some("llama".to_owned()),
                quantization: Some(self.draw.one_of([
                    Quantization::Q4,
                    Quantization::Fp16,
                    Quantization::Int8,
                ])),
                hub: None,
            },
            files: model::Downloaded {
                file_path: format!("/models/{id}.gguf"),
                disk_size_bytes: self.draw.below(1 << 40).cast_signed(),
                architecture: None,
                quantization: None,
                fetched: None,
            },
        };
        Command::Model(id, command)
    }

    fn queue_training(&mut self) -> Command {
        let id = format!("tr_{:03}", self.trainings.len());
        let there = |id: &&String| !self.datasets.get(*id).is_some_and(Aggregate::is_deleted);
        let datasets: Vec<_> = self.datasets.keys().filter(there).collect();
        let there = |id: &&String| !self.models.get(*id).is_some_and(Aggregate::is_deleted);
        let models: Vec<_> = self.models.keys().filter(there).collect();
        if datasets.is_empty() {
            return self.register_dataset();
        }
        if models.is_empty() {
            return self.register_model();
        }
        let dataset = self.draw.one_of(datasets);
        let model = self.draw.one_of(models).clone();
        let dataset = dataset.clone();
        let placement = self.placement();
        let queue = QueueTraining {
            model_id: ModelId::new(model).expect("a valid id"),
            dataset_id: DatasetId::new(dataset).expect("a valid id"),
            encoder_type: EncoderType::Sparse,
            hyperparameters: Hyperparameters {
                training_steps: 20 + self.draw.below(200) as u32,
                learning_rate: 0.0001 + self.draw.fraction(),
                ..Hyperparameters::default()
            },
            import_from: None,
            placement,
        };
        Command::Training(id, TrainingCommand::Queue(queue))
    }

    fn of_dataset(&mut self) -> Command {
        let id = self.draw.one_of(self.datasets.keys()).clone();
        let Some(dataset) = self.datasets.get(&id) else {
            return self.register_dataset();
        };
        let attempts = dataset.attempts();
        let draw = &mut self.draw;
        let command = match dataset.status() {
            DatasetStatus::Error => DatasetCommand::Retry,
            DatasetStatus::Ready => DatasetCommand::Tokenize(
                ModelId::new(format!("m_{:03}", draw.below(3))).expect("a valid id"),
            ),
            _ if dataset.waits() => DatasetCommand::Claim(claim(draw, attempts, &mut self.now)),
            _ if draw.one_in(15) => DatasetCommand::LoseLease(lose(draw, attempts, self.now)),
            status => {
                let record = match (draw.below(6), status) {
                    (0, _) => failed(draw),
                    (1, DatasetStatus::Ingesting) => {
                        journal::Record::DatasetIngested(journal::DatasetIngested {
                            num_samples: draw.below(1 << 20).cast_signed(),
                            size_bytes: 1 << 30,
                            content_sha256: None,
                        })
                    }
                    (1, _) => journal::Record::DatasetTokenized(journal::DatasetTokenized {
                        tokenized_path: format!("/tokenized/{id}"),
                        num_tokens: draw.below(1 << 40).cast_signed(),
                        vocab_size: 49_152,
                        avg_sequence_length: draw.fraction() * 1_000.0,
                        num_sequences: 12,
                        sha256: "ab".repeat(32),
                    }),
                    _ => journal::Record::Progress(journal::Progress {
                        stage: status.as_str().to_owned(),
                        percent: draw.fraction() * 100.0,
                    }),
                };
                DatasetCommand::Report(Box::new(report(attempts, self.now, record)))
            }
        };
        Command::Dataset(id, command)
    }

    fn of_model(&mut self) -> Command {
        let id = self.draw.one_of(self.models.keys()).clone();
        let Some(model) = self.models.get(&id) else {
            return self.register_model();
        };
        let attempts = model.attempts();
        let draw = &mut self.draw;
        let command = match model.status() {
            ModelStatus::Error => ModelCommand::Retry,
            _ if model.waits() => ModelCommand::Claim(claim(draw, attempts, &mut self.now)),
            _ if draw.one_in(4) => ModelCommand::LoseLease(lose(draw, attempts, self.now)),
            _ if draw.one_in(4) => {
                ModelCommand::Report(Box::new(report(attempts, self.now, failed(draw))))
            }
            ModelStatus::Quantizing if draw.one_in(2) => {
                let progress = journal::Record::Progress(journal::Progress {
                    stage: "quantizing".to_owned(),
                    percent: draw.fraction() * 100.0,
                });
                ModelCommand::Report(Box::new(report(attempts, self.now, progress)))
            }
            ModelStatus::Quantizing => {
                let quantized = journal::Record::ModelQuantized(journal::ModelQuantized {
                    quantized_path: format!("/models/{id}/quantized"),
                    disk_size_bytes: draw.below(1 << 40).cast_signed(),
                    memory_required_bytes: 1 << 28,
                    loss: None,
                });
                ModelCommand::Report(Box::new(report(attempts, self.now, quantized)))
            }
            _ => {
                let found = journal::Record::ModelInspected(journal::ModelInspected {
                    params_count: 134_515_008,
                    memory_required_bytes: 1 << 30,
                    disk_size_bytes: 98_000_000,
                    architecture_config: serde_json::json!({
                        "num_layers": 30, "hidden_size": 576, "rope_theta": 100000.0, "name": "“é”", "tied": true
                    }),
                    converts_to: draw.one_in(2).then_some(Quantization::Q8),
                    ..journal::ModelInspected::default()
                });
                ModelCommand::Report(Box::new(report(attempts, self.now, found)))
            }
        };
        Command::Model(id, command)
    }

    fn of_training(&mut self) -> Command {
        let id = self.draw.one_of(self.trainings.keys()).clone();
        let Some(training) = self.trainings.get(&id) else {
            return self.queue_training();
        };
        if training.placement().is_some()
            && let Some(command) = self.submit(&StreamId::new(Category::Training, &*id))
        {
            return command;
        }
        let Some(training) = self.trainings.get(&id) else {
            return self.queue_training();
        };
        let attempts = training.attempts();
        let draw = &mut self.draw;
        let command = match training.status() {
            TrainingStatus::Queued if draw.one_in(30) => TrainingCommand::RequestStop,
            TrainingStatus::Queued => TrainingCommand::Claim(claim(draw, attempts, &mut self.now)),
            TrainingStatus::Paused if draw.one_in(6) => TrainingCommand::RequestStop,
            TrainingStatus::Paused => TrainingCommand::Resume,
            TrainingStatus::Failed | TrainingStatus::Error => TrainingCommand::Retry,
            _ => match draw.below(40) {
                0 => TrainingCommand::RequestPause,
                1 => TrainingCommand::LoseLease(lose(draw, attempts, self.now)),
                2 if draw.one_in(2) => TrainingCommand::RequestStop,
                3 => TrainingCommand::EndOverduePause {
                    lease: attempts.lease,
                },
                _ => {
                    let record = record(draw, &id, training, self.now);
                    TrainingCommand::Report(Box::new(report(attempts, self.now, record)))
                }
            },
        };
        Command::Training(id, command)
    }
}

/// What the run of a training would say next.
fn record(draw: &mut Draw, id: &str, training: &Training, now: DateTime<Utc>) -> journal::Record {
    let (step, total) = (training.current_step(), training.total_steps());
    let resume = training.latest_checkpoint().map_or(0, |latest| latest.step);
    if draw.one_in(50) {
        return failed(draw);
    }
    let result = journal::Finished {
        step,
        path: format!("/runs/{id}/result"),
        sha256: "cd".repeat(32),
    };
    match (training.status(), training.requested()) {
        (_, Some(Request::Stop)) if draw.one_in(2) => journal::Record::Stopped(result),
        (TrainingStatus::Initializing, _) => {
            journal::Record::TrainingStarted(journal::TrainingStarted {
                at_step: resume,
                d_in: training.segmentation().is_none().then_some(576),
                d_sae: training.segmentation().is_none().then_some(4_608),
            })
        }
        (_, Some(Request::Pause)) if step == resume => {
            journal::Record::Paused(journal::AtStep { step })
        }
        (_, requested) if step > resume && (requested.is_some() || draw.one_in(6)) => {
            journal::Record::CheckpointSaved(journal::CheckpointSaved {
                step,
                loss: draw.one_in(2).then(|| draw.fraction()),
                sparsity: draw.one_in(2).then(|| draw.fraction() * 100.0),
                path: format!(
                    "/runs/{id}/checkpoints/{step}-{}",
                    training.attempts().lease.0
                ),
                file_size_bytes: draw.below(1 << 33).cast_signed(),
                sha256: format!("{:064x}", draw.any()),
            })
        }
        _ if step == resume && step > 0 && training.segmentation().is_some() && draw.one_in(2) => {
            journal::Record::SegmentationEvaluated(journal::SegmentationQuality {
                step,
                images: 12,
                loss: draw.fraction(),
                dice: vec![Some(draw.fraction()), None],
                mean_dice: Some(draw.fraction()),
            })
        }
        _ if step == resume && step > 0 && draw.one_in(2) => {
            journal::Record::Evaluated(journal::Evaluated {
                step,
                sites: vec![journal::EvaluatedSite {
                    layer: 5,
                    hook: Hook::Residual,
                    explained_variance: draw.fraction(),
                    active_latents: draw.fraction() * 100.0,
                    dead_latents: draw.below(100),
                    dense_latents: draw.below(100),
                    ce_clean: 3.0,
                    ce_spliced: Some(3.0 + draw.fraction()),
                    ce_ablated: 5.0,
                    ce_score: Some(draw.fraction()),
                    tokens: 2_048,
                }],
            })
        }
        _ if step == total => journal::Record::Completed(result),
        _ => {
            let mut batch = metrics(draw, step, total, now);
            if training.segmentation().is_some() {
                batch.dice = batch.explained_variance;
                batch.sparsity = vec![];
                batch.reconstruction_error = vec![];
                batch.dead_neurons = vec![];
                batch.explained_variance = vec![];
            }
            journal::Record::Metrics(batch)
        }
    }
}

fn metrics(draw: &mut Draw, step: u64, total: u64, now: DateTime<Utc>) -> journal::MetricsBatch {
    let every = 1 + draw.below(5);
    let steps: Vec<u64> = (1..=1 + draw.below(10))
        .map(|n| step + n * every)
        .filter(|step| *step <= total)
        .collect();
    let steps = if steps.is_empty() { vec![total] } else { steps };
    let mut column =
        |scale: f64| -> Vec<f64> { steps.iter().map(|_| draw.fraction() * scale).collect() };
    journal::MetricsBatch {
        loss: column(1e3),
        sparsity: column(100.0),
        reconstruction_error: column(1e-12),
        explained_variance: column(1.0),
        dice: vec![],
        learning_rate: column(1e-3),
        dead_neurons: steps
            .iter()
            .map(|_| draw.below(4_608).cast_signed())
            .collect(),
        at: vec![now; steps.len()],
        tokens_per_second: 5_000.0,
        steps,
    }
}

/// The clock moves on to the end of a back-off.
pub(super) fn claim(draw: &mut Draw, attempts: &Attempts, now: &mut DateTime<Utc>) -> Claim {
    if let Some(until) = attempts.not_before {
        *now = until.max(*now);
    }
    Claim {
        worker_id: format!("edge-{:02}", draw.below(3)),
        host: "edge".to_owned(),
        device: draw.one_of(["cpu", "cuda:0", "cuda:1"]).to_owned(),
        now: *now,
    }
}

pub(super) fn lose(draw: &mut Draw, attempts: &Attempts, now: DateTime<Utc>) -> Loss {
    Loss {
        lease: attempts.lease,
        reason: draw.one_of([
            LossReason::Exited,
            LossReason::NotStarted,
            LossReason::NoHeartbeat,
            LossReason::NoProgress,
            LossReason::OutOfMemory,
        ]),
        message: "The run is gone.".to_owned(),
        now,
        policy: POLICY,
    }
}

pub(super) fn failed(draw: &mut Draw) -> journal::Record {
    journal::Record::Failed(journal::Failure {
        class: draw.one_of([
            journal::FailureClass::Workload,
            journal::FailureClass::Infrastructure,
        ]),
        code: draw.one_of(["loss_not_finite", "disk_full"]).to_owned(),
        message: "It broke: look at the “log”.".to_owned(),
    })
}

pub(super) fn report(attempts: &Attempts, now: DateTime<Utc>, record: journal::Record) -> Report {
    Report {
        line: journal::JournalRecord {
            lease: attempts.lease,
            seq: attempts.seq + 1,
            at: now,
            record,
        },
        now,
        policy: POLICY,
    }
}
