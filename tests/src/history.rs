//! Histories that could have happened: datasets, models and trainings that live through claims, losses, pauses, stops,
//! failures and retries, many at a time. The domain itself decides the events, so a history is legal by construction; the
//! same seed gives the same history.

mod around;
mod choose;
mod cluster;
mod draw;
mod removal;

pub use draw::Draw;

use around::Around;
use chrono::{DateTime, TimeDelta, Utc};
use cluster::Cluster;
use std::{collections::BTreeMap, path::PathBuf};
use trainmaster_domain::{
    Aggregate, Category, Event, Metadata, Position, RecordedEvent, StreamId,
    dataset::{Dataset, DatasetCommand},
    extraction_template::ExtractionTemplate,
    feature::FeatureCommand,
    job::{Job, JobCommand},
    kept::KeptCommand,
    model::{Model, ModelCommand},
    preset::Preset,
    slurm::{SlurmJob, SlurmJobCommand},
    training::{Training, TrainingCommand},
    training_template::TrainingTemplate,
};

/// A command to one stream.
#[derive(Clone, Debug)]
pub enum Command {
    /// To a dataset.
    Dataset(String, DatasetCommand),
    /// To a model.
    Model(String, ModelCommand),
    /// To a training.
    Training(String, TrainingCommand),
    /// To a job.
    Job(String, JobCommand),
    /// To a feature.
    Feature(String, FeatureCommand),
    /// To a preset.
    Preset(String, KeptCommand<Preset>),
    /// To a training template.
    TrainingTemplate(String, KeptCommand<TrainingTemplate>),
    /// To an extraction template.
    ExtractionTemplate(String, KeptCommand<ExtractionTemplate>),
    /// To a SLURM job.
    SlurmJob(String, SlurmJobCommand),
}

/// A command and what it caused.
#[derive(Clone, Debug)]
pub struct Step {
    /// What was asked.
    pub command: Command,
    /// What happened: at least one event.
    pub events: Vec<RecordedEvent>,
}

/// An endless history; an iterator of [`Step`]s.
#[derive(Debug)]
pub struct History {
    draw: Draw,
    now: DateTime<Utc>,
    transaction: u64,
    sequence: i64,
    versions: BTreeMap<String, u64>,
    datasets: BTreeMap<String, Dataset>,
    models: BTreeMap<String, Model>,
    trainings: BTreeMap<String, Training>,
    around: Option<Around>,
    cluster: Option<Cluster>,
}

impl History {
    /// The history of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed),
            now: DateTime::from_timestamp(1_790_000_000, 123_456_000).unwrap_or_default(),
            transaction: 700,
            sequence: 0,
            versions: BTreeMap::new(),
            datasets: BTreeMap::new(),
            models: BTreeMap::new(),
            trainings: BTreeMap::new(),
            around: None,
            cluster: None,
        }
    }

    /// The history of a seed in which features are extracted, named and marked, and presets and templates come and go. Artifacts are written to
    /// `directory`.
    #[must_use]
    pub fn with_surroundings(seed: u64, directory: PathBuf) -> Self {
        Self {
            around: Some(Around::new(directory)),
            ..Self::new(seed)
        }
    }

    /// The same with clusters: images are segmented, here and there, and SLURM does what it does.
    #[must_use]
    pub fn with_clusters(self) -> Self {
        Self {
            cluster: Some(Cluster::default()),
            ..self
        }
    }

    /// The events of the next `commands` commands.
    pub fn events(&mut self, commands: usize) -> Vec<RecordedEvent> {
        self.take(commands).flat_map(|step| step.events).collect()
    }

    /// The datasets as they are now.
    #[must_use]
    pub const fn datasets(&self) -> &BTreeMap<String, Dataset> {
        &self.datasets
    }

    /// The models as they are now.
    #[must_use]
    pub const fn models(&self) -> &BTreeMap<String, Model> {
        &self.models
    }

    /// The trainings as they are now.
    #[must_use]
    pub const fn trainings(&self) -> &BTreeMap<String, Training> {
        &self.trainings
    }

    /// The predictions as they are now.
    pub fn predictions(&self) -> impl Iterator<Item = (&String, &Job)> {
        self.cluster.iter().flat_map(|cluster| &cluster.predictions)
    }

    /// The SLURM jobs as they are now.
    pub fn slurm_jobs(&self) -> impl Iterator<Item = (&String, &SlurmJob)> {
        self.cluster.iter().flat_map(|cluster| &cluster.jobs)
    }

    /// Does what the command causes; none when it is refused or changes nothing.
    fn act(&mut self, command: &Command) -> Option<Vec<RecordedEvent>> {
        let (category, id, events) = match command {
            Command::Dataset(id, command) => (
                Category::Dataset,
                id,
                decided(&mut self.datasets, id, command)?,
            ),
            Command::Model(id, command) => {
                (Category::Model, id, decided(&mut self.models, id, command)?)
            }
            Command::Training(id, command) => (
                Category::Training,
                id,
                decided(&mut self.trainings, id, command)?,
            ),
            Command::Job(id, command) => {
                let all = match &mut self.cluster {
                    Some(cluster) if cluster::is_prediction(id) => &mut cluster.predictions,
                    _ => &mut self.around.as_mut()?.jobs,
                };
                (Category::Job, id, decided(all, id, command)?)
            }
            Command::Feature(id, command) => {
                let all = &mut self.around.as_mut()?.features;
                (Category::Feature, id, decided(all, id, command)?)
            }
            Command::Preset(id, command) => {
                let all = &mut self.around.as_mut()?.presets;
                (Category::Preset, id, decided(all, id, command)?)
            }
            Command::TrainingTemplate(id, command) => {
                let all = &mut self.around.as_mut()?.training_templates;
                (Category::TrainingTemplate, id, decided(all, id, command)?)
            }
            Command::ExtractionTemplate(id, command) => {
                let all = &mut self.around.as_mut()?.extraction_templates;
                (Category::ExtractionTemplate, id, decided(all, id, command)?)
            }
            Command::SlurmJob(id, command) => {
                let all = &mut self.cluster.as_mut()?.jobs;
                (Category::SlurmJob, id, decided(all, id, command)?)
            }
        };
        self.transaction += 1 + self.draw.below(3);
        let recorded = events
            .into_iter()
            .map(|event| self.record(category, id, event));
        let recorded: Vec<RecordedEvent> = recorded.collect();
        (!recorded.is_empty()).then_some(recorded)
    }

    fn record(&mut self, category: Category, id: &str, event: Event) -> RecordedEvent {
        self.sequence += 1;
        let version = self.versions.entry(id.to_owned()).or_default();
        *version += 1;
        RecordedEvent {
            position: Position {
                transaction: self.transaction,
                sequence: self.sequence,
            },
            stream: StreamId::new(category, id),
            version: *version,
            event,
            metadata: Metadata::default(),
            recorded_at: self.now,
        }
    }
}

impl Iterator for History {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            self.now += TimeDelta::microseconds(1 + self.draw.below(4_000_000).cast_signed());
            let command = self.choose();
            if let Some(events) = self.act(&command) {
                return Some(Step { command, events });
            }
        }
    }
}

fn decided<A: Aggregate>(
    all: &mut BTreeMap<String, A>,
    id: &str,
    command: &A::Command,
) -> Option<Vec<Event>>
where
    A::Command: Clone,
{
    let aggregate = all.entry(id.to_owned()).or_default();
    let events = aggregate.decide(command.clone()).ok()?;
    for event in &events {
        aggregate
            .evolve(event)
            .expect("what the domain decides is a legal transition");
    }
    Some(events.into_iter().map(Into::into).collect())
}
