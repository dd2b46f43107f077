//! `extraction_templates` ← the events of extraction templates.

use crate::{fold::Row, value};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use trainmaster_domain::{
    extraction_template::{ExtractionTemplate, ExtractionTemplateEvent},
    kept::{Change, Definition},
};

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct Template {
    id: String,
    name: String,
    description: Option<String>,
    layers: Vec<i32>,
    hook_types: Vec<String>,
    max_samples: Option<i32>,
    top_k_examples: i32,
    is_favorite: Option<bool>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Row for Template {
    type Event = ExtractionTemplateEvent;
    const TABLE: &'static str = "extraction_templates";
    const SELECT: &'static str = "SELECT * FROM extraction_templates WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO extraction_templates (
            id, name, description, layers, hook_types, max_samples, top_k_examples, is_favorite, created_at, updated_at)
        SELECT
            id, name, description, layers, hook_types, max_samples, top_k_examples, is_favorite, created_at, updated_at
        FROM jsonb_populate_recordset(NULL::extraction_templates, $1)
        ON CONFLICT (id) DO UPDATE SET
            name = EXCLUDED.name,
            description = EXCLUDED.description,
            layers = EXCLUDED.layers,
            hook_types = EXCLUDED.hook_types,
            max_samples = EXCLUDED.max_samples,
            top_k_examples = EXCLUDED.top_k_examples,
            is_favorite = EXCLUDED.is_favorite,
            updated_at = EXCLUDED.updated_at";

    fn id(&self) -> &str {
        &self.id
    }

    fn first(id: &str, event: &ExtractionTemplateEvent, at: DateTime<Utc>) -> Option<Self> {
        let Change::Created(template) = ExtractionTemplate::change(event) else {
            return None;
        };
        let mut row = Self {
            id: id.to_owned(),
            name: String::new(),
            description: None,
            layers: vec![],
            hook_types: vec![],
            max_samples: None,
            top_k_examples: 0,
            is_favorite: Some(false),
            created_at: Some(at),
            updated_at: Some(at),
        };
        row.say(&template);
        Some(row)
    }

    fn then(&mut self, event: &ExtractionTemplateEvent, at: DateTime<Utc>) {
        self.updated_at = Some(at);
        match ExtractionTemplate::change(event) {
            Change::Updated(template) => self.say(&template),
            Change::Favourited(mark) => self.is_favorite = Some(mark),
            Change::Created(_) | Change::Deleted => {}
        }
    }
}

impl Template {
    fn say(&mut self, template: &ExtractionTemplate) {
        self.name = value::text(&template.name, 500);
        self.description.clone_from(&template.description);
        self.layers = template
            .layers
            .iter()
            .copied()
            .map(value::integer)
            .collect();
        self.hook_types = template
            .hook_types
            .iter()
            .map(|hook| hook.as_str().to_owned())
            .collect();
        self.max_samples = template.max_samples.map(value::integer);
        self.top_k_examples = value::integer(template.top_k_examples);
    }
}
