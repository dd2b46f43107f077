//! `model` ← ModelProduced, which is recorded with the end of its training. What SLURM has trained without ever saying the number of the job
//! has no row in `training`, and none here.

use crate::{
    fold::{Happened, Row},
    value,
};
use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use std::borrow::Cow;
use trainmaster_domain::{Event, RecordedEvent, training::TrainingEvent};

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Model {
    id: String,
    training_id: String,
    model_name: String,
    created_at: Option<NaiveDateTime>,
}

pub(super) const fn makes(recorded: &RecordedEvent) -> bool {
    matches!(
        recorded.event,
        Event::Training(TrainingEvent::ModelProduced(_))
    )
}

impl Row for Model {
    type Event = RecordedEvent;
    const TABLE: &'static str = "model";
    const SELECT: &'static str = "SELECT * FROM model WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO model (id, training_id, model_name, created_at)
        SELECT id, training_id, model_name, created_at
        FROM jsonb_populate_recordset(NULL::model, $1) AS produced
        WHERE EXISTS (SELECT FROM training WHERE training.id = produced.training_id)
        ON CONFLICT (id) DO NOTHING";

    fn id(&self) -> &str {
        &self.id
    }

    fn of<'a>(happened: &Happened<'a, RecordedEvent>) -> Option<Cow<'a, str>> {
        match &happened.event.event {
            Event::Training(TrainingEvent::ModelProduced(produced)) => {
                Some(Cow::Borrowed(&produced.model_id))
            }
            _ => None,
        }
    }

    fn first(id: &str, recorded: &RecordedEvent, at: DateTime<Utc>) -> Option<Self> {
        match &recorded.event {
            Event::Training(TrainingEvent::ModelProduced(produced)) => Some(Self {
                id: id.to_owned(),
                training_id: recorded.stream.id.clone(),
                model_name: value::text(&produced.model_name, 255),
                created_at: Some(at.naive_utc()),
            }),
            _ => None,
        }
    }

    /// A model is what it is.
    fn then(&mut self, _recorded: &RecordedEvent, _at: DateTime<Utc>) {}
}
