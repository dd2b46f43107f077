//! Segments are closed and leave the database at any moment, and nobody notices.

mod concurrent;
mod crash;
mod damage;
mod history;
mod migration;

use crate::fixture::empty_log;
use chrono::{DateTime, Utc};
use std::{collections::BTreeMap, path::Path, time::Duration};
use tempfile::TempDir;
use trainmaster::{
    archive::{Archived, Archiver, ArchiverOptions, Segment, segments},
    log::{Executed, Log},
};
use trainmaster_domain::{
    Metadata, RecordedEvent, StreamId, dataset::Dataset, extraction_template, feature, job,
    model::Model, preset, slurm, training::Training, training_template,
};
use trainmaster_tests::history::{Command, History};

/// A log, its archive, and what was written.
pub struct World {
    pub log: Log,
    pub archiver: Archiver,
    pub directory: TempDir,
    pub written: Vec<RecordedEvent>,
    pub executed: Vec<(Command, Metadata, Executed)>,
}

impl World {
    pub async fn new() -> Self {
        Self::on(empty_log().await)
    }

    pub fn on(log: Log) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = log.archived_in(directory.path().join("archive"));
        Self {
            archiver: archiver(&log, directory.path()),
            log,
            directory,
            written: Vec::new(),
            executed: Vec::new(),
        }
    }

    /// What another process would read with.
    pub fn fresh(&self) -> Log {
        Log::new(self.log.pool().clone()).archived_in(self.directory.path().join("archive"))
    }

    pub async fn live(&mut self, history: &mut History, commands: usize) {
        for step in history.take(commands) {
            let metadata = crate::fixture::metadata(format!("command {}", self.executed.len()));
            let executed = execute(&self.log, step.command.clone(), metadata.clone()).await;
            self.written.extend(executed.events.clone());
            self.executed.push((step.command, metadata, executed));
        }
    }

    /// Everything leaves.
    pub async fn archive_all(&self) -> Vec<Archived> {
        self.archiver
            .archive(DateTime::<Utc>::MAX_UTC)
            .await
            .unwrap()
    }

    pub async fn segments(&self) -> Vec<Segment> {
        segments(self.log.pool()).await.unwrap()
    }

    pub fn streams(&self) -> BTreeMap<StreamKey, Vec<RecordedEvent>> {
        let mut streams: BTreeMap<StreamKey, Vec<RecordedEvent>> = BTreeMap::new();
        for event in &self.written {
            let key = (event.stream.category.as_str(), event.stream.id.clone());
            streams.entry(key).or_default().push(event.clone());
        }
        streams
    }
}

pub type StreamKey = (&'static str, String);

pub fn stream_of(events: &[RecordedEvent]) -> &StreamId {
    &events[0].stream
}

pub fn archiver(log: &Log, directory: &Path) -> Archiver {
    Archiver::new(
        log.clone(),
        log.pool().clone(),
        ArchiverOptions {
            directory: directory.join("archive"),
            after: None,
            segment_events: 100,
            segment_age: Duration::from_secs(3600),
        },
    )
}

pub async fn execute(log: &Log, command: Command, metadata: Metadata) -> Executed {
    macro_rules! execute {
        ($aggregate:ty, $id:ident, $command:ident) => {
            log.execute::<$aggregate>(&$id, $command, metadata)
                .await
                .unwrap()
        };
    }
    match command {
        Command::Dataset(id, command) => execute!(Dataset, id, command),
        Command::Model(id, command) => execute!(Model, id, command),
        Command::Training(id, command) => execute!(Training, id, command),
        Command::Job(id, command) => execute!(job::Job, id, command),
        Command::Feature(id, command) => execute!(feature::Feature, id, command),
        Command::Preset(id, command) => execute!(preset::KeptPreset, id, command),
        Command::TrainingTemplate(id, command) => {
            execute!(training_template::KeptTrainingTemplate, id, command)
        }
        Command::ExtractionTemplate(id, command) => {
            execute!(extraction_template::KeptExtractionTemplate, id, command)
        }
        Command::SlurmJob(id, command) => execute!(slurm::SlurmJob, id, command),
    }
}
