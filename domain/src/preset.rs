//! A way to steer a language model by features of a trained autoencoder, kept for another time.

use crate::{
    Category, StreamId,
    id::TrainingId,
    kept::{Change, Definition, Kept, KeptRefusal, check_words, events},
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The strongest coefficient, either way.
pub const MAX_COEFFICIENT: f64 = 300.0;
/// The most features of a preset.
pub const MAX_FEATURES: usize = 1_000;

/// What a preset says of a generation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The training whose features steer.
    pub training_id: TrainingId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Which features, how strongly.
    pub features: Vec<PresetFeature>,
    /// The layer at which the residual stream is changed, counted from 0.
    pub intervention_layer: u32,
}

/// A feature that steers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetFeature {
    /// Which.
    pub feature_id: i64,
    /// How strongly, in units of its maximum; negative: away from it.
    pub coefficient: f64,
}

events!(
    /// What can have happened to a preset.
    PresetEvent of Preset, Preset: PresetCreated, PresetUpdated, PresetDeleted
);

/// A preset's stream.
pub type KeptPreset = Kept<Preset>;

impl Definition for Preset {
    const CATEGORY: Category = Category::Preset;
    const NOUN: &'static str = "preset";
    type Event = PresetEvent;

    fn validate(&self) -> Result<(), KeptRefusal> {
        let bad = |field, must, given: String| Err(KeptRefusal::Value { field, must, given });
        check_words(&self.name, self.description.as_deref())?;
        let distinct: HashSet<_> = self.features.iter().map(|f| f.feature_id).collect();
        if self.features.is_empty()
            || self.features.len() > MAX_FEATURES
            || distinct.len() < self.features.len()
        {
            return bad(
                "features",
                "1 to 1,000 features, each once",
                format!("{} features", self.features.len()),
            );
        }
        // Not a number is no coefficient either.
        if let Some(wrong) = self
            .features
            .iter()
            .find(|feature| !(-MAX_COEFFICIENT..=MAX_COEFFICIENT).contains(&feature.coefficient))
        {
            return bad("coefficient", "-300 to 300", wrong.coefficient.to_string());
        }
        if self.intervention_layer >= 1 << 10 {
            return bad(
                "intervention_layer",
                "below 1,024",
                self.intervention_layer.to_string(),
            );
        }
        Ok(())
    }

    fn needs(&self) -> Vec<StreamId> {
        vec![StreamId::new(Category::Training, self.training_id.as_str())]
    }

    fn event(change: Change<Self>) -> Option<PresetEvent> {
        PresetEvent::of(change)
    }

    fn change(event: &PresetEvent) -> Change<Self> {
        event.change()
    }

    fn event_type(event: &PresetEvent) -> &'static str {
        event.event_type()
    }
}
