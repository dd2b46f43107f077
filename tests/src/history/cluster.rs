//! What happens on clusters and for images: segmentation trainings, predictions, and what SLURM does with those, and with autoencoders, that are
//! placed there.

use super::{Command, Draw, History, choose};
use std::collections::BTreeMap;
use trainmaster_domain::{
    Aggregate, Category, StreamId,
    id::{CrossValidationId, TrainingId},
    job::{Job, JobCommand, JobStatus, JobWork, Prediction, PredictionInput, Queued},
    run::journal::{Predicted, Progress, Record},
    segmentation::{SegmentationSettings, Split},
    slurm::{
        JobType, Observation, Placement, SlurmFailure, SlurmJob, SlurmJobCommand, SlurmJobStatus,
        SlurmResources, SlurmState, Submission, TrainingDescription, id,
    },
    training::{Fold, QueueSegmentation, TrainingCommand, TrainingStatus},
};

/// What the ids of predictions begin with; those of other jobs have no letter there.
const PREDICTION: &str = "job_p";

pub(super) fn is_prediction(id: &str) -> bool {
    id.starts_with(PREDICTION)
}

/// What is there beside the studio.
#[derive(Debug, Default)]
pub(super) struct Cluster {
    pub(super) predictions: BTreeMap<String, Job>,
    pub(super) jobs: BTreeMap<String, SlurmJob>,
}

impl Cluster {
    /// Whether a prediction that is not done needs a training's model.
    pub(super) fn refers_to_training(&self, id: &str) -> bool {
        self.predictions.values().any(|job| {
            job.status().is_active()
                && matches!(job.work(), Some(JobWork::Prediction(it)) if it.training_id.as_str() == id)
        })
    }

    /// The job that executes the run, or is to.
    fn live_job(&self, run: &StreamId) -> Option<(&String, &SlurmJob)> {
        self.jobs.iter().find(|(_, job)| {
            job.status().is_live()
                && job
                    .submission()
                    .is_some_and(|submission| submission.run == *run)
        })
    }
}

impl History {
    /// None when nothing is to happen there now.
    pub(super) fn happen_on_clusters(&mut self) -> Option<Command> {
        match self.draw.below(20) {
            0 => self.segment(),
            1 => self.predict(),
            2..8 => self.of_prediction(),
            _ => self.of_slurm_job(),
        }
    }

    /// Now and then another machine than this one.
    pub(super) fn placement(&mut self) -> Option<Placement> {
        let has_clusters = self.cluster.is_some() && self.draw.one_in(2);
        has_clusters.then(|| Placement {
            cluster: self.draw.one_of(["campus", "attic"]).to_owned(),
            resources: SlurmResources::default(),
        })
    }

    fn segment(&mut self) -> Option<Command> {
        let id = format!("seg_{:03}", self.trainings.len());
        let fold = match self.draw.one_in(3) {
            true => Some(Fold {
                group: CrossValidationId::new("cv_000").ok()?,
                split: Split {
                    index: self.draw.below(100) as u16,
                    folds: 100,
                    seed: 7,
                },
            }),
            false => None,
        };
        let queue = QueueSegmentation {
            name: "“Herz” ".repeat(1 + self.draw.below(28) as usize),
            images_path: "/data/images".to_owned(),
            labels_path: format!("/data/{}", "l".repeat(self.draw.below(490) as usize)),
            settings: SegmentationSettings {
                training_steps: 20 + self.draw.below(100) as u32,
                ..SegmentationSettings::default()
            },
            fold,
            placement: self.placement(),
        };
        let command = TrainingCommand::QueueSegmentation(Box::new(queue));
        Some(Command::Training(id, command))
    }

    fn predict(&mut self) -> Option<Command> {
        let models: Vec<(String, String)> = self
            .trainings
            .iter()
            .filter(|(_, training)| !training.is_deleted())
            .filter_map(|(id, training)| Some((id.clone(), training.model()?.model_id.clone())))
            .collect();
        if models.is_empty() {
            return None;
        }
        let (training_id, model_id) = self.draw.one_of(models);
        let id = format!(
            "{PREDICTION}{:03}",
            self.cluster.as_ref()?.predictions.len()
        );
        let work = JobWork::Prediction(Prediction {
            model_id,
            training_id: TrainingId::new(training_id).ok()?,
            input: PredictionInput {
                images: vec!["/data/new/“1”.png".to_owned()],
                labels_path: None,
            },
            output_dir: format!("/predictions/{id}"),
        });
        let placement = self.placement();
        Some(Command::Job(
            id,
            JobCommand::Queue(Queued { work, placement }),
        ))
    }

    fn of_prediction(&mut self) -> Option<Command> {
        let cluster = self.cluster.as_ref()?;
        let ids: Vec<&String> = cluster.predictions.keys().collect();
        if ids.is_empty() {
            return self.predict();
        }
        let id = self.draw.one_of(ids).clone();
        let job = cluster.predictions.get(&id)?.clone();
        let run = StreamId::new(Category::Job, &*id);
        if job.status() == JobStatus::Running
            && job.placement().is_some()
            && let Some(command) = self.submit(&run)
        {
            return Some(command);
        }
        let (draw, attempts) = (&mut self.draw, job.attempts());
        let command = match job.status() {
            JobStatus::Failed => JobCommand::Retry,
            _ if draw.one_in(20) => JobCommand::RequestCancel,
            JobStatus::Queued => JobCommand::Claim(choose::claim(draw, attempts, &mut self.now)),
            _ if draw.one_in(8) => JobCommand::LoseLease(choose::lose(draw, attempts, self.now)),
            _ => {
                let record = match draw.below(4) {
                    0 => Record::Predicted(Box::new(Predicted {
                        output_dir: format!("/predictions/{id}"),
                        prediction: serde_json::json!({ "images": [{ "file": "“1”.png", "mean_dice": draw.fraction() }] }),
                    })),
                    1 => choose::failed(draw),
                    _ => Record::Progress(Progress {
                        stage: "predicting".to_owned(),
                        percent: draw.fraction() * 100.0,
                    }),
                };
                JobCommand::Report(Box::new(choose::report(attempts, self.now, record)))
            }
        };
        Some(Command::Job(id, command))
    }

    /// What must happen with SLURM before a run that is placed there can say anything; none when it may.
    pub(super) fn submit(&mut self, run: &StreamId) -> Option<Command> {
        let cluster = self.cluster.as_ref()?;
        let (lease, placement) = match run.category {
            Category::Training => {
                let training = self.trainings.get(&run.id)?;
                let is_new = training.status() == TrainingStatus::Initializing;
                is_new.then_some((training.attempts().lease, training.placement()?))?
            }
            _ => {
                let job = cluster.predictions.get(&run.id)?;
                (job.attempts().lease, job.placement()?)
            }
        };
        if let Some((id, job)) = cluster.live_job(run) {
            let command = match job.status() {
                SlurmJobStatus::Intended => {
                    // So few that they are given twice.
                    let number = 1 + self.draw.below(30);
                    SlurmJobCommand::NoteSubmitted {
                        sbatch_id: match self.draw.one_in(3) {
                            true => format!("{number}_{}", self.draw.below(3)),
                            false => number.to_string(),
                        },
                    }
                }
                _ if job.lease() < lease => SlurmJobCommand::HandOver { lease },
                _ => return None,
            };
            return Some(Command::SlurmJob(id.clone(), command));
        }
        let id = id::slurm_job(run, lease);
        if cluster.jobs.contains_key(&id) {
            return None;
        }
        let is_training = run.category == Category::Training;
        let submission = Submission {
            submission_id: id::submission(run, lease),
            run: run.clone(),
            lease,
            cluster: placement.cluster.clone(),
            job_type: match is_training {
                true => JobType::Training,
                false => JobType::Inference,
            },
            fold_index: 0,
            array_index: None,
            script: "#!/bin/sh\nexec “trainer”\n".to_owned(),
            training: is_training.then(|| TrainingDescription {
                name: run.id.clone(),
                images_path: None,
                labels_path: None,
                model_path: Some(format!("/models/{}", run.id)),
            }),
            output_dir: (!is_training).then(|| format!("/predictions/{}", run.id)),
        };
        Some(Command::SlurmJob(
            id,
            SlurmJobCommand::Intend(Box::new(submission)),
        ))
    }

    /// SLURM is asked about one of its jobs, mostly about one that it has.
    fn of_slurm_job(&mut self) -> Option<Command> {
        let jobs = &self.cluster.as_ref()?.jobs;
        let live: Vec<&String> = jobs
            .iter()
            .filter(|(_, job)| job.status().is_live())
            .map(|(id, _)| id)
            .collect();
        let ids = match live.is_empty() || self.draw.one_in(6) {
            true => jobs.keys().collect(),
            false => live,
        };
        if ids.is_empty() {
            return None;
        }
        let id = self.draw.one_of(ids).clone();
        let restarts = jobs.get(&id)?.restarts();
        let draw = &mut self.draw;
        let command = match draw.below(12) {
            0 => SlurmJobCommand::RequestCancel,
            1 => SlurmJobCommand::NoteRefused {
                message: "sbatch: error: invalid partition".to_owned(),
            },
            _ => SlurmJobCommand::Observe(Observation {
                state: state(draw),
                started_at: (!draw.one_in(3)).then_some(self.now),
                ended_at: draw.one_in(2).then_some(self.now),
                restarts: restarts + u32::from(draw.one_in(8)),
                reason: draw.one_in(3).then(|| "Resources".to_owned()),
                exit_code: draw.one_in(2).then(|| "1:0".to_owned()),
                proven: draw.one_in(2),
                now: self.now,
            }),
        };
        Some(Command::SlurmJob(id, command))
    }
}

fn state(draw: &mut Draw) -> Option<SlurmState> {
    match draw.below(10) {
        0 => Some(SlurmState::Pending),
        1..5 => Some(SlurmState::Running),
        5 | 6 => Some(SlurmState::Completed),
        7 => Some(SlurmState::Failed(draw.one_of(SlurmFailure::ALL))),
        8 => Some(SlurmState::Unknown("REVOKED".to_owned())),
        _ => None,
    }
}
