//! What happens around trainings: extractions with their artifacts, what people say of features, presets and templates.

use super::{Command, Draw, History, choose};
use crate::artifacts::{ActivationRow, FeatureRow, write_activations, write_features};
use std::{collections::BTreeMap, path::PathBuf};
use trainmaster_domain::{
    Aggregate,
    extraction_template::{ExtractionTemplate, KeptExtractionTemplate},
    feature::{Feature, FeatureCommand, Flags, Labels},
    hyperparameters::{Hook, Hyperparameters},
    id::{DatasetId, ModelId, TrainingId},
    job::{Extraction, Job, JobCommand, JobStatus, JobWork},
    kept::KeptCommand,
    preset::{KeptPreset, Preset, PresetFeature},
    run::journal::{FeaturesExtracted, Progress, Record, Scoring},
    training::EncoderType,
    training_template::{KeptTrainingTemplate, TrainingTemplate},
};

/// Latents of a training, in two partitions.
const LATENTS: i64 = 1_500;
const RESERVED: i64 = 2_000;

/// The things around trainings, and where artifacts are written.
#[derive(Debug)]
pub(super) struct Around {
    pub(super) directory: PathBuf,
    pub(super) jobs: BTreeMap<String, Job>,
    pub(super) features: BTreeMap<String, Feature>,
    pub(super) presets: BTreeMap<String, KeptPreset>,
    pub(super) training_templates: BTreeMap<String, KeptTrainingTemplate>,
    pub(super) extraction_templates: BTreeMap<String, KeptExtractionTemplate>,
    /// The first feature id of each training that was looked at.
    blocks: BTreeMap<String, i64>,
    artifacts: u32,
}

impl Around {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            jobs: BTreeMap::new(),
            features: BTreeMap::new(),
            presets: BTreeMap::new(),
            training_templates: BTreeMap::new(),
            extraction_templates: BTreeMap::new(),
            blocks: BTreeMap::new(),
            artifacts: 0,
        }
    }

    /// Whether a preset or a job that is not done refers to a training.
    pub(super) fn refers_to_training(&self, id: &str) -> bool {
        let by_job = self.jobs.values().any(|job| {
            job.status().is_active()
                && matches!(job.work(), Some(JobWork::Extraction(it)) if it.training_id.as_str() == id)
        });
        let by_preset = self
            .presets
            .values()
            .filter_map(|preset| preset.definition())
            .any(|preset| preset.training_id.as_str() == id);
        by_job || by_preset
    }
}

impl History {
    /// None when nothing is to happen around trainings now.
    pub(super) fn happen_around(&mut self) -> Option<Command> {
        let mut around = self.around.take()?;
        let command = self.choose_around(&mut around);
        self.around = Some(around);
        command
    }

    fn choose_around(&mut self, around: &mut Around) -> Option<Command> {
        match self.draw.below(10) {
            0..4 => self.of_job(around),
            4 | 5 => self.of_feature(around),
            6 | 7 => self.of_preset(around),
            8 => self.of_training_template(around),
            _ => self.of_extraction_template(around),
        }
    }

    fn of_job(&mut self, around: &mut Around) -> Option<Command> {
        let active = around.jobs.iter().find(|(_, job)| job.status().is_active());
        let Some((id, job)) = active.map(|(id, job)| (id.clone(), job.clone())) else {
            return self.extract(around);
        };
        let (draw, attempts) = (&mut self.draw, job.attempts());
        let command = match job.status() {
            _ if draw.one_in(20) => JobCommand::RequestCancel,
            JobStatus::Queued => JobCommand::Claim(choose::claim(draw, attempts, &mut self.now)),
            _ if draw.one_in(5) => JobCommand::LoseLease(choose::lose(draw, attempts, self.now)),
            _ => {
                let record = match (draw.below(3), job.work()) {
                    (0, Some(JobWork::Extraction(extraction))) => {
                        found(draw, around, extraction, &id)
                    }
                    _ => Record::Progress(Progress {
                        stage: "extracting".to_owned(),
                        percent: draw.fraction() * 100.0,
                    }),
                };
                JobCommand::Report(Box::new(choose::report(attempts, self.now, record)))
            }
        };
        Some(Command::Job(id, command))
    }

    fn extract(&mut self, around: &mut Around) -> Option<Command> {
        let (training_id, dataset_id) = self.a_training()?;
        let next = around.blocks.len() as i64 * RESERVED;
        let first_feature_id = *around.blocks.entry(training_id.clone()).or_insert(next);
        let queue = JobCommand::Queue(
            JobWork::Extraction(Extraction {
                training_id: TrainingId::new(training_id).ok()?,
                dataset_id,
                layers: None,
                hook_types: None,
                max_samples: None,
                top_k_examples: 8,
                context_tokens: 25,
                minimum_frequency: 0.0,
                first_feature_id,
                latents: LATENTS,
            })
            .into(),
        );
        Some(Command::Job(format!("job_{:03}", around.jobs.len()), queue))
    }

    fn of_feature(&mut self, around: &Around) -> Option<Command> {
        let first = *around
            .blocks
            .values()
            .nth(self.index(around.blocks.len())?)?;
        let draw = &mut self.draw;
        let id = first + draw.below(40).cast_signed() * 37 % LATENTS;
        let text = |draw: &mut Draw| match draw.below(3) {
            0 => Some(String::new()),
            1 => Some(format!("as a person says: {}", draw.below(100))),
            _ => None,
        };
        let command = FeatureCommand::Edit {
            labels: Labels {
                name: text(draw),
                description: text(draw),
            },
            flags: Flags {
                is_favorite: draw.one_in(2).then(|| draw.one_in(2)),
                is_hidden: draw.one_in(3).then(|| draw.one_in(2)),
            },
        };
        Some(Command::Feature(id.to_string(), command))
    }

    fn of_preset(&mut self, around: &Around) -> Option<Command> {
        if around.presets.len() < 3 || self.draw.one_in(8) {
            let (training_id, _) = self.a_training()?;
            let preset = Preset {
                training_id: TrainingId::new(training_id).ok()?,
                name: "calm".to_owned(),
                description: None,
                features: vec![PresetFeature {
                    feature_id: 1,
                    coefficient: self.draw.fraction() * 100.0,
                }],
                intervention_layer: 5,
            };
            let id = format!("preset_{:03}", around.presets.len());
            return Some(Command::Preset(id, KeptCommand::Create(Box::new(preset))));
        }
        let id = around
            .presets
            .keys()
            .nth(self.index(around.presets.len())?)?;
        Some(Command::Preset(id.clone(), self.change(false)))
    }

    fn of_training_template(&mut self, around: &Around) -> Option<Command> {
        let all = &around.training_templates;
        if all.len() < 3 || self.draw.one_in(8) {
            let there = |id: &&String| !self.models.get(*id).is_some_and(Aggregate::is_deleted);
            let models: Vec<String> = self.models.keys().filter(there).cloned().collect();
            let there = |id: &&String| !self.datasets.get(*id).is_some_and(Aggregate::is_deleted);
            let datasets: Vec<String> = self.datasets.keys().filter(there).cloned().collect();
            let template = TrainingTemplate {
                name: "as ever".to_owned(),
                description: Some("Small.".to_owned()),
                model_id: models.first().and_then(|id| ModelId::new(id).ok()),
                dataset_id: datasets.last().and_then(|id| DatasetId::new(id).ok()),
                encoder_type: EncoderType::Sparse,
                hyperparameters: Hyperparameters::default(),
            };
            let id = format!("tmpl_{:03}", all.len());
            let create = KeptCommand::Create(Box::new(template));
            return Some(Command::TrainingTemplate(id, create));
        }
        let id = all.keys().nth(self.index(all.len())?)?;
        Some(Command::TrainingTemplate(id.clone(), self.change(true)))
    }

    fn of_extraction_template(&mut self, around: &Around) -> Option<Command> {
        let all = &around.extraction_templates;
        if all.len() < 3 || self.draw.one_in(8) {
            let template = ExtractionTemplate {
                name: "quick".to_owned(),
                description: None,
                layers: vec![5, 9],
                hook_types: vec![Hook::Residual],
                max_samples: self.draw.one_in(2).then_some(100),
                top_k_examples: 8,
            };
            let id = format!("ext_tmpl_{:03}", all.len());
            let create = KeptCommand::Create(Box::new(template));
            return Some(Command::ExtractionTemplate(id, create));
        }
        let id = all.keys().nth(self.index(all.len())?)?;
        Some(Command::ExtractionTemplate(id.clone(), self.change(true)))
    }

    fn change<D>(&mut self, has_mark: bool) -> KeptCommand<D> {
        if self.draw.one_in(6) {
            return KeptCommand::Delete;
        }
        let mut patch = serde_json::Map::new();
        patch.insert(
            "description".to_owned(),
            format!("the {}th try", self.draw.below(1_000)).into(),
        );
        KeptCommand::Update {
            patch,
            is_favorite: has_mark.then(|| self.draw.one_in(2)),
        }
    }

    /// A training that is there, and its dataset.
    fn a_training(&mut self) -> Option<(String, DatasetId)> {
        let there: Vec<(String, DatasetId)> = self
            .trainings
            .iter()
            .filter(|(_, training)| !training.is_deleted())
            .filter_map(|(id, training)| {
                Some((id.clone(), training.definition()?.dataset_id.clone()))
            })
            .collect();
        let index = self.index(there.len())?;
        there.into_iter().nth(index)
    }

    fn index(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.draw.below(length as u64) as usize)
    }
}

/// Writes what an extraction finds: some forty latents of those there are, with a few examples each.
fn found(draw: &mut Draw, around: &mut Around, extraction: &Extraction, job: &str) -> Record {
    around.artifacts += 1;
    let name = |what: &str| format!("{job}.{}.{what}.parquet", around.artifacts);
    let neurons: Vec<i32> = (0..40)
        .filter(|_| !draw.one_in(3))
        .map(|n| n * 37)
        .filter(|n| i64::from(*n) < extraction.latents)
        .collect();
    let features: Vec<FeatureRow> = neurons
        .iter()
        .map(|neuron_index| FeatureRow {
            neuron_index: *neuron_index,
            layer: 5,
            frequency: draw.fraction(),
            max: draw.fraction(),
            name: Some(format!("latent {neuron_index} of {job}")),
            description: draw.one_in(2).then(|| "found".to_owned()),
            score: Some(draw.fraction()),
        })
        .collect();
    let mut examples = vec![];
    for neuron_index in neurons {
        for n in 0..draw.below(4) {
            examples.push(ActivationRow {
                neuron_index,
                sample: Some(n as i32),
                tokens: r#"["a","b"]"#.to_owned(),
                activations: "[0.0,0.5]".to_owned(),
                max: draw.fraction() * 0.3,
                before: None,
                after: Some("after".to_owned()),
            });
        }
    }
    Record::FeaturesExtracted(Box::new(FeaturesExtracted {
        features: write_features(&around.directory.join(name("features")), &features),
        activations: write_activations(&around.directory.join(name("activations")), &examples),
        samples: 10,
        tokens: 2_550,
        scoring: Scoring {
            version: 1,
            components: vec![],
            embedder: "model".to_owned(),
            permuted_mean: 0.2,
            permuted_p95: 0.4,
        },
    }))
}
