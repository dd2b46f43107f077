//! `training_templates` ← the events of training templates. A reference to a model or dataset that has been deleted is null, whether the
//! template was there before or is changed afterwards.

use crate::{fold::Row, value};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use trainmaster_domain::{
    kept::{Change, Definition},
    training_template::{TrainingTemplate, TrainingTemplateEvent},
};

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Template {
    id: String,
    name: String,
    description: Option<String>,
    model_id: Option<String>,
    dataset_id: Option<String>,
    encoder_type: String,
    hyperparameters: serde_json::Value,
    is_favorite: Option<bool>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Row for Template {
    type Event = TrainingTemplateEvent;
    const TABLE: &'static str = "training_templates";
    const SELECT: &'static str = "SELECT * FROM training_templates WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO training_templates (
            id, name, description, model_id, dataset_id, encoder_type, hyperparameters, is_favorite, created_at, updated_at)
        SELECT
            t.id, t.name, t.description, m.id, d.id, t.encoder_type, t.hyperparameters, t.is_favorite, t.created_at,
            t.updated_at
        FROM jsonb_populate_recordset(NULL::training_templates, $1) t
        LEFT JOIN models m ON m.id = t.model_id
        LEFT JOIN datasets d ON d.id = t.dataset_id
        ON CONFLICT (id) DO UPDATE SET
            name = EXCLUDED.name,
            description = EXCLUDED.description,
            model_id = EXCLUDED.model_id,
            dataset_id = EXCLUDED.dataset_id,
            encoder_type = EXCLUDED.encoder_type,
            hyperparameters = EXCLUDED.hyperparameters,
            is_favorite = EXCLUDED.is_favorite,
            updated_at = EXCLUDED.updated_at";

    fn id(&self) -> &str {
        &self.id
    }

    fn first(id: &str, event: &TrainingTemplateEvent, at: DateTime<Utc>) -> Option<Self> {
        let Change::Created(template) = TrainingTemplate::change(event) else {
            return None;
        };
        let mut row = Self {
            id: id.to_owned(),
            name: String::new(),
            description: None,
            model_id: None,
            dataset_id: None,
            encoder_type: String::new(),
            hyperparameters: serde_json::Value::Null,
            is_favorite: Some(false),
            created_at: Some(at),
            updated_at: Some(at),
        };
        row.say(&template);
        Some(row)
    }

    fn then(&mut self, event: &TrainingTemplateEvent, at: DateTime<Utc>) {
        self.updated_at = Some(at);
        match TrainingTemplate::change(event) {
            Change::Updated(template) => self.say(&template),
            Change::Favourited(mark) => self.is_favorite = Some(mark),
            Change::Created(_) | Change::Deleted => {}
        }
    }
}

impl Template {
    fn say(&mut self, template: &TrainingTemplate) {
        let id = |id: &str| value::text(id, 255);
        self.name = value::text(&template.name, 500);
        self.description.clone_from(&template.description);
        self.model_id = template.model_id.as_ref().map(|m| id(m.as_str()));
        self.dataset_id = template.dataset_id.as_ref().map(|d| id(d.as_str()));
        self.encoder_type = template.encoder_type.as_str().to_owned();
        // Numbers and names only: it was JSON in the log.
        self.hyperparameters = serde_json::to_value(&template.hyperparameters).unwrap_or_default();
    }
}
