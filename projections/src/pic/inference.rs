//! `inference` ← jobs that predict. One of this machine is submitted as it is queued; SLURM's is once SLURM has it.
//!
//! `error_message` says why the last attempt ended badly: it stays while the next one waits, and goes once that one predicts.

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
    job::{JobEvent, JobWork},
    slurm::{SlurmJobEvent, id},
};

const PENDING: &str = "PENDING";
const PROCESSING: &str = "PROCESSING";
const COMPLETED: &str = "COMPLETED";
const FAILED: &str = "FAILED";

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Inference {
    predict_id: String,
    model_id: String,
    job_id: Option<String>,
    input_data: serde_json::Value,
    output_dir: Option<String>,
    prediction: Option<serde_json::Value>,
    status: String,
    start_time: Option<NaiveDateTime>,
    end_time: Option<NaiveDateTime>,
    error_message: Option<String>,
    created_at: Option<NaiveDateTime>,
    updated_at: Option<NaiveDateTime>,
}

impl Row for Inference {
    type Event = RecordedEvent;
    const TABLE: &'static str = "inference";
    const SELECT: &'static str = "SELECT * FROM inference WHERE predict_id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO inference (
            predict_id, model_id, job_id, input_data, output_dir, prediction, status, start_time, end_time, error_message,
            created_at, updated_at)
        SELECT
            predict_id, model_id, job_id, input_data, output_dir, prediction, status, start_time, end_time, error_message,
            created_at, updated_at
        FROM jsonb_populate_recordset(NULL::inference, $1) AS asked
        WHERE EXISTS (SELECT FROM model WHERE model.id = asked.model_id)
        ON CONFLICT (predict_id) DO UPDATE SET
            job_id = EXCLUDED.job_id,
            output_dir = EXCLUDED.output_dir,
            prediction = EXCLUDED.prediction,
            status = EXCLUDED.status,
            start_time = EXCLUDED.start_time,
            end_time = EXCLUDED.end_time,
            error_message = EXCLUDED.error_message,
            updated_at = EXCLUDED.updated_at";

    fn id(&self) -> &str {
        &self.predict_id
    }

    fn of<'a>(happened: &Happened<'a, RecordedEvent>) -> Option<Cow<'a, str>> {
        match &happened.event.event {
            Event::Job(_) => Some(Cow::Borrowed(&happened.stream.id)),
            Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(submitted)) => {
                let run = &submitted.submission.run;
                (run.category == Category::Job).then_some(Cow::Borrowed(&run.id))
            }
            _ => None,
        }
    }

    fn first(id: &str, recorded: &RecordedEvent, at: DateTime<Utc>) -> Option<Self> {
        let Event::Job(JobEvent::JobQueued(queued)) = &recorded.event else {
            return None;
        };
        let JobWork::Prediction(prediction) = &queued.work else {
            return None;
        };
        let is_submitted = queued.placement.is_none();
        Some(Self {
            predict_id: id.to_owned(),
            model_id: prediction.model_id.clone(),
            job_id: is_submitted.then(|| id::local_job(&recorded.stream)),
            // Paths only: it was JSON in the log.
            input_data: serde_json::to_value(&prediction.input).unwrap_or_default(),
            output_dir: is_submitted.then(|| value::text(&prediction.output_dir, 500)),
            prediction: None,
            status: PENDING.to_owned(),
            start_time: None,
            end_time: None,
            error_message: None,
            created_at: Some(at.naive_utc()),
            updated_at: Some(at.naive_utc()),
        })
    }

    fn then(&mut self, recorded: &RecordedEvent, at: DateTime<Utc>) {
        self.updated_at = Some(at.naive_utc());
        match &recorded.event {
            Event::Job(event) => self.on(event, at),
            Event::SlurmJob(SlurmJobEvent::SlurmJobSubmitted(submitted)) => {
                self.job_id = Some(recorded.stream.id.clone());
                if let Some(directory) = &submitted.submission.output_dir {
                    self.output_dir = Some(value::text(directory, 500));
                }
            }
            _ => {}
        }
    }

    /// Other jobs are none of this table's, a model that is deleted takes its predictions along, and one that is not there has none.
    fn may_be_gone(_recorded: &RecordedEvent) -> bool {
        true
    }
}

impl Inference {
    fn on(&mut self, event: &JobEvent, at: DateTime<Utc>) {
        match event {
            JobEvent::JobProgressed(_) => self.process(at),
            JobEvent::Predicted(predicted) => {
                self.process(at);
                self.prediction = Some(predicted.prediction.clone());
                self.output_dir = Some(value::text(&predicted.output_dir, 500));
            }
            JobEvent::JobCompleted(_) => {
                self.end(COMPLETED, at);
                self.error_message = None;
            }
            JobEvent::JobCancelled(_) => self.fail(super::CANCELLED, at),
            JobEvent::JobFailed(failed) => self.fail(&failed.message, at),
            JobEvent::JobLeaseExpired(expired) => self.fail(&expired.message, at),
            JobEvent::JobRetried(_) => {
                PENDING.clone_into(&mut self.status);
                self.start_time = None;
                self.end_time = None;
                self.prediction = None;
            }
            JobEvent::JobQueued(_)
            | JobEvent::JobClaimed(_)
            | JobEvent::FeaturesExtracted(_)
            | JobEvent::FeaturesLabelled(_)
            | JobEvent::FeaturesScored(_)
            | JobEvent::ActivationsAttached(_)
            | JobEvent::TextGenerated(_)
            | JobEvent::CancelRequested {} => {}
        }
    }

    /// The first word of an attempt says that it has begun.
    fn process(&mut self, at: DateTime<Utc>) {
        if self.status == PENDING {
            PROCESSING.clone_into(&mut self.status);
            self.start_time = Some(at.naive_utc());
            self.error_message = None;
        }
    }

    fn end(&mut self, status: &str, at: DateTime<Utc>) {
        status.clone_into(&mut self.status);
        self.end_time = Some(at.naive_utc());
    }

    fn fail(&mut self, message: &str, at: DateTime<Utc>) {
        self.end(FAILED, at);
        self.error_message = Some(message.to_owned());
    }
}
