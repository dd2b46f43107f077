//! `steering_presets` ← the events of presets. A preset goes with its training; what is said of it afterwards makes no row.

use crate::{fold::Row, value};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::FromRow;
use trainmaster_domain::{
    kept::{Change, Definition},
    preset::{Preset, PresetEvent},
};

#[derive(Clone, Debug, FromRow, Serialize)]
pub(super) struct SteeringPreset {
    id: String,
    training_id: String,
    name: String,
    description: Option<String>,
    features: serde_json::Value,
    intervention_layer: i32,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
}

impl Row for SteeringPreset {
    type Event = PresetEvent;
    const TABLE: &'static str = "steering_presets";
    const SELECT: &'static str = "SELECT * FROM steering_presets WHERE id = ANY ($1)";
    const UPSERT: &'static str = "\
        INSERT INTO steering_presets (
            id, training_id, name, description, features, intervention_layer, created_at, updated_at)
        SELECT
            p.id, t.id, p.name, p.description, p.features, p.intervention_layer, p.created_at, p.updated_at
        FROM jsonb_populate_recordset(NULL::steering_presets, $1) p
        JOIN trainings t ON t.id = p.training_id
        ON CONFLICT (id) DO UPDATE SET
            training_id = EXCLUDED.training_id,
            name = EXCLUDED.name,
            description = EXCLUDED.description,
            features = EXCLUDED.features,
            intervention_layer = EXCLUDED.intervention_layer,
            updated_at = EXCLUDED.updated_at";

    fn id(&self) -> &str {
        &self.id
    }

    fn first(id: &str, event: &PresetEvent, at: DateTime<Utc>) -> Option<Self> {
        let Change::Created(preset) = Preset::change(event) else {
            return None;
        };
        let mut row = Self {
            id: id.to_owned(),
            training_id: String::new(),
            name: String::new(),
            description: None,
            features: serde_json::Value::Null,
            intervention_layer: 0,
            created_at: Some(at),
            updated_at: Some(at),
        };
        row.say(&preset);
        Some(row)
    }

    fn then(&mut self, event: &PresetEvent, at: DateTime<Utc>) {
        self.updated_at = Some(at);
        if let Change::Updated(preset) = Preset::change(event) {
            self.say(&preset);
        }
    }

    /// Its training took it along.
    fn may_be_gone(_event: &PresetEvent) -> bool {
        true
    }
}

impl SteeringPreset {
    fn say(&mut self, preset: &Preset) {
        self.training_id = value::text(preset.training_id.as_str(), 255);
        self.name = value::text(&preset.name, 500);
        self.description.clone_from(&preset.description);
        // Numbers only: it was JSON in the log.
        self.features = serde_json::to_value(&preset.features).unwrap_or_default();
        self.intervention_layer = value::integer(preset.intervention_layer);
    }
}
