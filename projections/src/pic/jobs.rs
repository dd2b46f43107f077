//! `jobs` ← the events of SLURM jobs; and those of segmentations and predictions that this machine does itself, which are jobs of the same
//! kind without SLURM.
//!
//! A row is there once SLURM has the job. Times are SLURM's own; those of this machine's jobs are when their events were recorded.

use crate::{
    ApplyError,
    fold::{Happened, Row, fold},
    value,
};
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection};
use std::{borrow::Cow, collections::BTreeSet};
use trainmaster_domain::{
    Event, RecordedEvent, StreamId,
    id::TrainingId,
    job::{JobEvent, JobWork},
    slurm::{JobType, SlurmJobEvent, event::Submitted, id},
    training::TrainingEvent,
};

/// What the number of a job without SLURM begins with; its stream follows.
const LOCAL: &str = "local:";

const PENDING: &str = "PENDING";
const RUNNING: &str = "RUNNING";
const COMPLETED: &str = "COMPLETED";
const FAILED: &str = "FAILED";

#[derive(Clone, Debug, FromRow, Serialize)]
struct Job {
    id: String,
    sbatch_id: String,
    fold_index: i32,
    job_type: String,
    status: String,
    start_time: Option<NaiveDateTime>,
    end_time: Option<NaiveDateTime>,
    error_message: Option<String>,
    sbatch_content: Option<String>,
}

/// Applies events that are about jobs, in their order.
pub(super) async fn apply(
    connection: &mut PgConnection,
    events: &[RecordedEvent],
) -> Result<(), ApplyError> {
    let told = numbered(connection, events).await?;
    let told: Vec<_> = told
        .iter()
        .map(|recorded| Happened::new(recorded, recorded.as_ref()))
        .collect();
    fold::<Job>(connection, &told).await
}

/// Removes what this machine did for these streams. What SLURM did stays: it is an account of the cluster.
pub(super) async fn remove_local(
    connection: &mut PgConnection,
    streams: &[String],
) -> Result<(), ApplyError> {
    let numbers: Vec<String> = streams.iter().map(|id| format!("{LOCAL}{id}")).collect();
    sqlx::query("DELETE FROM jobs WHERE sbatch_id = ANY ($1)")
        .bind(numbers)
        .execute(connection)
        .await
        .map_err(ApplyError::on(Job::TABLE))?;
    Ok(())
}

/// The events, with numbers that no other job has: clusters count for themselves, and one that was set up anew counts from the beginning. The
/// first job of a number has it as it is; further ones have their cluster with it, as `sbatch --parsable` writes it, or else their id.
async fn numbered<'a>(
    connection: &mut PgConnection,
    events: &'a [RecordedEvent],
) -> Result<Vec<Cow<'a, RecordedEvent>>, ApplyError> {
    let wanted: Vec<String> = events
        .iter()
        .filter_map(submitted)
        .flat_map(|submitted| [submitted.sbatch_id.clone(), with_cluster(submitted)])
        .map(|number| value::text(&number, 255))
        .collect();
    let mut taken = BTreeSet::new();
    if !wanted.is_empty() {
        let found: Vec<String> =
            sqlx::query_scalar("SELECT sbatch_id FROM jobs WHERE sbatch_id = ANY ($1)")
                .bind(wanted)
                .fetch_all(connection)
                .await
                .map_err(ApplyError::on(Job::TABLE))?;
        taken.extend(found);
    }
    let numbered = events.iter().map(|recorded| {
        let Some(submitted) = submitted(recorded) else {
            return Cow::Borrowed(recorded);
        };
        let number = [submitted.sbatch_id.clone(), with_cluster(submitted)]
            .into_iter()
            .map(|number| value::text(&number, 255))
            .find(|number| !taken.contains(number))
            .unwrap_or_else(|| {
                let number = value::text(&submitted.sbatch_id, 200);
                format!("{number};{}", recorded.stream.id)
            });
        taken.insert(number.clone());
        let mut recorded = recorded.clone();
        if let Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(submitted)) = &mut recorded.event {
            submitted.sbatch_id = number;
        }
        Cow::Owned(recorded)
    });
    Ok(numbered.collect())
}

const fn submitted(recorded: &RecordedEvent) -> Option<&Submitted> {
    match &recorded.event {
        Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(submitted)) => Some(submitted),
        _ => None,
    }
}

fn with_cluster(submitted: &Submitted) -> String {
    format!("{};{}", submitted.sbatch_id, submitted.submission.cluster)
}

impl Row for Job {
    type Event = RecordedEvent;
    const TABLE: &'static str = "jobs";
    const SELECT: &'static str = "\
        SELECT id, sbatch_id, fold_index::integer, job_type, status, start_time, end_time, error_message, sbatch_content
          FROM jobs WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO jobs (
            id, sbatch_id, fold_index, job_type, status, start_time, end_time, error_message, sbatch_content)
        SELECT
            id, sbatch_id, fold_index, job_type, status, start_time, end_time, error_message, sbatch_content
        FROM jsonb_populate_recordset(NULL::jobs, $1)
        ON CONFLICT (id) DO UPDATE SET
            status = EXCLUDED.status,
            start_time = EXCLUDED.start_time,
            end_time = EXCLUDED.end_time,
            error_message = EXCLUDED.error_message";

    fn id(&self) -> &str {
        &self.id
    }

    fn of<'a>(happened: &Happened<'a, RecordedEvent>) -> Option<Cow<'a, str>> {
        let stream = happened.stream;
        match &happened.event.event {
            Event::SlurmJob(_) => Some(Cow::Borrowed(&stream.id)),
            Event::Training(_) if TrainingId::is_segmentation(&stream.id) => {
                Some(Cow::Owned(id::local_job(stream)))
            }
            Event::Job(_) => Some(Cow::Owned(id::local_job(stream))),
            _ => None,
        }
    }

    fn first(id: &str, recorded: &RecordedEvent, _at: DateTime<Utc>) -> Option<Self> {
        let job = |number, job_type, fold_index: u16, script| Self {
            id: id.to_owned(),
            sbatch_id: number,
            fold_index: fold_index.into(),
            job_type: name(job_type).to_owned(),
            status: PENDING.to_owned(),
            start_time: None,
            end_time: None,
            error_message: None,
            sbatch_content: script,
        };
        match &recorded.event {
            Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(submitted)) => {
                let submission = &submitted.submission;
                Some(job(
                    value::text(&submitted.sbatch_id, 255),
                    submission.job_type,
                    submission.fold_index,
                    Some(submission.script.clone()),
                ))
            }
            Event::Training(TrainingEvent::SegmentationQueued(queued))
                if queued.placement.is_none() =>
            {
                let fold = queued.fold.as_ref().map_or(0, |fold| fold.split.index);
                let number = local(&recorded.stream);
                Some(job(number, JobType::Training, fold, None))
            }
            Event::Job(JobEvent::JobQueued(queued))
                if queued.placement.is_none() && matches!(queued.work, JobWork::Prediction(_)) =>
            {
                let number = local(&recorded.stream);
                Some(job(number, JobType::Inference, 0, None))
            }
            _ => None,
        }
    }

    fn then(&mut self, recorded: &RecordedEvent, at: DateTime<Utc>) {
        match &recorded.event {
            Event::SlurmJob(event) => self.on_cluster(event),
            Event::Training(event) => self.on_training(event, at),
            Event::Job(event) => self.on_job(event, at),
            _ => {}
        }
    }

    /// Before SLURM has a job there is no row; and a run that SLURM executes, or that is no job here, has none by its own id.
    fn may_be_gone(recorded: &RecordedEvent) -> bool {
        match &recorded.event {
            Event::SlurmJob(event) => matches!(
                event,
                SlurmJobEvent::SlurmSubmissionIntended(_)
                    | SlurmJobEvent::SlurmSubmissionRefused(_)
                    | SlurmJobEvent::SlurmJobHandedOver(_)
                    | SlurmJobEvent::SlurmCancelRequested {}
            ),
            _ => true,
        }
    }
}

impl Job {
    fn on_cluster(&mut self, event: &SlurmJobEvent) {
        match event {
            SlurmJobEvent::SlurmSubmissionIntended(_)
            | SlurmJobEvent::SlurmJobSubmitted(_)
            | SlurmJobEvent::SlurmSubmissionRefused(_)
            | SlurmJobEvent::SlurmJobHandedOver(_)
            | SlurmJobEvent::SlurmCancelRequested {}
            | SlurmJobEvent::SlurmStateSeen(_) => {}
            SlurmJobEvent::SlurmJobStarted(started) => self.start(started.at),
            SlurmJobEvent::SlurmJobRequeued(_) => {
                self.wait();
                self.error_message = None;
            }
            SlurmJobEvent::SlurmJobCompleted(ended) => self.complete(ended.at),
            SlurmJobEvent::SlurmJobFailed(failed) => self.fail(&failed.message, failed.at),
        }
    }

    fn on_training(&mut self, event: &TrainingEvent, at: DateTime<Utc>) {
        match event {
            TrainingEvent::TrainingStarted(_) => self.start(at),
            TrainingEvent::TrainingPaused(_)
            | TrainingEvent::TrainingResumed {}
            | TrainingEvent::TrainingRetried(_) => self.wait(),
            TrainingEvent::TrainingStopped(ended) if ended.result.is_none() => {
                self.fail("It was stopped before it had trained anything.", at);
            }
            TrainingEvent::TrainingStopped(_) | TrainingEvent::TrainingCompleted(_) => {
                self.complete(at);
            }
            TrainingEvent::TrainingFailed(failed) | TrainingEvent::TrainingErrored(failed) => {
                self.fail(&failed.message, at);
            }
            TrainingEvent::TrainingLeaseExpired(expired) => self.fail(&expired.message, at),
            TrainingEvent::TrainingQueued(_)
            | TrainingEvent::SegmentationQueued(_)
            | TrainingEvent::TrainingClaimed(_)
            | TrainingEvent::MetricsRecorded(_)
            | TrainingEvent::CheckpointSaved(_)
            | TrainingEvent::TrainingEvaluated(_)
            | TrainingEvent::SegmentationEvaluated(_)
            | TrainingEvent::ModelProduced(_)
            | TrainingEvent::PauseRequested {}
            | TrainingEvent::StopRequested {}
            | TrainingEvent::TrainingDeleted {}
            | TrainingEvent::MetricsPruned(_)
            | TrainingEvent::CheckpointPruned(_)
            | TrainingEvent::ActivationsPruned(_) => {}
        }
    }

    fn on_job(&mut self, event: &JobEvent, at: DateTime<Utc>) {
        match event {
            JobEvent::JobProgressed(_) | JobEvent::Predicted(_) if self.status == PENDING => {
                self.start(at);
            }
            JobEvent::JobCompleted(_) => self.complete(at),
            JobEvent::JobCancelled(_) => self.fail(super::CANCELLED, at),
            JobEvent::JobFailed(failed) => self.fail(&failed.message, at),
            JobEvent::JobLeaseExpired(expired) => self.fail(&expired.message, at),
            JobEvent::JobRetried(_) => self.wait(),
            _ => {}
        }
    }

    fn start(&mut self, at: DateTime<Utc>) {
        RUNNING.clone_into(&mut self.status);
        self.start_time = Some(at.naive_utc());
        self.end_time = None;
        self.error_message = None;
    }

    /// Whoever looks while it waits for another attempt sees why it does.
    fn wait(&mut self) {
        PENDING.clone_into(&mut self.status);
        self.start_time = None;
        self.end_time = None;
    }

    fn complete(&mut self, at: DateTime<Utc>) {
        COMPLETED.clone_into(&mut self.status);
        self.end_time = Some(at.naive_utc());
        self.error_message = None;
    }

    fn fail(&mut self, message: &str, at: DateTime<Utc>) {
        FAILED.clone_into(&mut self.status);
        self.end_time = Some(at.naive_utc());
        self.error_message = Some(message.to_owned());
    }
}

fn local(stream: &StreamId) -> String {
    value::text(&format!("{LOCAL}{}", stream.id), 255)
}

const fn name(job_type: JobType) -> &'static str {
    match job_type {
        JobType::Training => "TRAINING",
        JobType::Inference => "INFERENCE",
    }
}
