//! `training` ← segmentations that this machine does itself, from their first event; what SLURM executes, autoencoders as well, from its
//! submission. Autoencoders of this machine are none of this document's.

use crate::{
    fold::{Happened, Row},
    value,
};
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use std::borrow::Cow;
use trainmaster_domain::{
    Category, Event, RecordedEvent,
    slurm::{SlurmJobEvent, event::Submitted, id},
    training::{SegmentationQueued, TrainingEvent},
};

const TRAINING: &str = "TRAINING";
const TRAINED: &str = "TRAINED";
const FAILED: &str = "FAILED";

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Training {
    id: String,
    name: String,
    images_path: Option<String>,
    labels_path: Option<String>,
    model_path: Option<String>,
    job_id: String,
    status: String,
    progress: Option<f64>,
    start_time: Option<NaiveDateTime>,
    end_time: Option<NaiveDateTime>,
}

impl Row for Training {
    type Event = RecordedEvent;
    const TABLE: &'static str = "training";
    const SELECT: &'static str = "SELECT * FROM training WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO training (
            id, name, images_path, labels_path, model_path, job_id, status, progress, start_time, end_time)
        SELECT
            id, name, images_path, labels_path, model_path, job_id, status, progress, start_time, end_time
        FROM jsonb_populate_recordset(NULL::training, $1)
        ON CONFLICT (id) DO UPDATE SET
            model_path = EXCLUDED.model_path,
            job_id = EXCLUDED.job_id,
            status = EXCLUDED.status,
            progress = EXCLUDED.progress,
            end_time = EXCLUDED.end_time";

    fn id(&self) -> &str {
        &self.id
    }

    fn of<'a>(happened: &Happened<'a, RecordedEvent>) -> Option<Cow<'a, str>> {
        match &happened.event.event {
            Event::Training(_) => Some(Cow::Borrowed(&happened.stream.id)),
            Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(submitted)) => {
                let run = &submitted.submission.run;
                (run.category == Category::Training).then_some(Cow::Borrowed(&run.id))
            }
            _ => None,
        }
    }

    fn first(id: &str, recorded: &RecordedEvent, at: DateTime<Utc>) -> Option<Self> {
        match &recorded.event {
            Event::Training(TrainingEvent::SegmentationQueued(queued))
                if queued.placement.is_none() =>
            {
                Some(Self::local(id, queued, id::local_job(&recorded.stream), at))
            }
            Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(submitted)) => {
                Some(Self::submitted(id, submitted, &recorded.stream.id, at))
            }
            _ => None,
        }
    }

    fn then(&mut self, recorded: &RecordedEvent, at: DateTime<Utc>) {
        match &recorded.event {
            Event::Training(event) => self.on(event, at),
            Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(_)) => {
                self.job_id.clone_from(&recorded.stream.id);
            }
            _ => {}
        }
    }

    /// What is not submitted yet has no row, and an autoencoder of this machine never has.
    fn may_be_gone(_recorded: &RecordedEvent) -> bool {
        true
    }
}

impl Training {
    fn local(id: &str, queued: &SegmentationQueued, job_id: String, at: DateTime<Utc>) -> Self {
        Self {
            id: id.to_owned(),
            name: value::text(&queued.name, 255),
            images_path: Some(value::text(&queued.images_path, 500)),
            labels_path: Some(value::text(&queued.labels_path, 500)),
            model_path: None,
            job_id,
            status: TRAINING.to_owned(),
            progress: Some(0.0),
            start_time: Some(at.naive_utc()),
            end_time: None,
        }
    }

    fn submitted(id: &str, submitted: &Submitted, job_id: &str, at: DateTime<Utc>) -> Self {
        let description = submitted.submission.training.as_ref();
        let path = |path: Option<&String>| path.map(|path| value::text(path, 500));
        Self {
            id: id.to_owned(),
            name: value::text(description.map_or(id, |it| &it.name), 255),
            images_path: path(description.and_then(|it| it.images_path.as_ref())),
            labels_path: path(description.and_then(|it| it.labels_path.as_ref())),
            model_path: path(description.and_then(|it| it.model_path.as_ref())),
            job_id: job_id.to_owned(),
            status: TRAINING.to_owned(),
            progress: Some(0.0),
            start_time: Some(at.naive_utc()),
            end_time: None,
        }
    }

    fn on(&mut self, event: &TrainingEvent, at: DateTime<Utc>) {
        match event {
            TrainingEvent::MetricsRecorded(recorded) => {
                self.progress = recorded.progress.or(self.progress);
            }
            TrainingEvent::TrainingCompleted(ended) => {
                self.progress = Some(100.0);
                self.trained(ended.result.as_ref().map(|result| result.path.as_str()), at);
            }
            // What it had trained until then is a model as well.
            TrainingEvent::TrainingStopped(ended) => match &ended.result {
                Some(result) => self.trained(Some(&result.path), at),
                None => self.end(FAILED, at),
            },
            TrainingEvent::TrainingFailed(_)
            | TrainingEvent::TrainingErrored(_)
            | TrainingEvent::TrainingLeaseExpired(_) => self.end(FAILED, at),
            TrainingEvent::TrainingRetried(_) => {
                TRAINING.clone_into(&mut self.status);
                self.end_time = None;
            }
            TrainingEvent::TrainingQueued(_)
            | TrainingEvent::SegmentationQueued(_)
            | TrainingEvent::TrainingClaimed(_)
            | TrainingEvent::TrainingStarted(_)
            | TrainingEvent::CheckpointSaved(_)
            | TrainingEvent::TrainingEvaluated(_)
            | TrainingEvent::SegmentationEvaluated(_)
            | TrainingEvent::ModelProduced(_)
            | TrainingEvent::PauseRequested {}
            | TrainingEvent::TrainingPaused(_)
            | TrainingEvent::TrainingResumed {}
            | TrainingEvent::StopRequested {}
            | TrainingEvent::TrainingDeleted {}
            | TrainingEvent::MetricsPruned(_)
            | TrainingEvent::CheckpointPruned(_)
            | TrainingEvent::ActivationsPruned(_) => {}
        }
    }

    fn trained(&mut self, path: Option<&str>, at: DateTime<Utc>) {
        if self.model_path.is_none() {
            self.model_path = path.map(|path| value::text(path, 500));
        }
        self.end(TRAINED, at);
    }

    fn end(&mut self, status: &str, at: DateTime<Utc>) {
        status.clone_into(&mut self.status);
        self.end_time = Some(at.naive_utc());
    }
}
