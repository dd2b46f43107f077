//! A way to extract features that is kept for another time.

use crate::{
    Category,
    hyperparameters::Hook,
    kept::{Change, Definition, Kept, KeptRefusal, check_words, events},
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Strongest examples of a feature, unless asked otherwise.
pub const DEFAULT_TOP_K_EXAMPLES: u32 = 100;

/// What a template says of an extraction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtractionTemplate {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Layers of the language model, counted from 0.
    pub layers: Vec<u32>,
    /// Where in them.
    pub hook_types: Vec<Hook>,
    /// Packed sequences to read; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_samples: Option<u32>,
    /// Strongest examples that are kept of each feature.
    #[serde(default = "default_top_k_examples")]
    pub top_k_examples: u32,
}

const fn default_top_k_examples() -> u32 {
    DEFAULT_TOP_K_EXAMPLES
}

events!(
    /// What can have happened to an extraction template.
    ExtractionTemplateEvent of ExtractionTemplate, ExtractionTemplate:
    ExtractionTemplateCreated, ExtractionTemplateUpdated, ExtractionTemplateDeleted, ExtractionTemplateFavourited
);

/// An extraction template's stream.
pub type KeptExtractionTemplate = Kept<ExtractionTemplate>;

impl Definition for ExtractionTemplate {
    const CATEGORY: Category = Category::ExtractionTemplate;
    const NOUN: &'static str = "extraction template";
    type Event = ExtractionTemplateEvent;

    fn validate(&self) -> Result<(), KeptRefusal> {
        let bad = |field, must, given: String| Err(KeptRefusal::Value { field, must, given });
        check_words(&self.name, self.description.as_deref())?;
        let distinct: HashSet<_> = self.layers.iter().collect();
        if self.layers.is_empty()
            || distinct.len() < self.layers.len()
            || self.layers.iter().any(|layer| *layer >= 1 << 10)
        {
            return bad(
                "layers",
                "at least one layer below 1,024, each once",
                format!("{:?}", self.layers),
            );
        }
        let distinct: HashSet<_> = self.hook_types.iter().collect();
        if self.hook_types.is_empty() || distinct.len() < self.hook_types.len() {
            return bad(
                "hook_types",
                "at least one of residual, mlp and attention, each once",
                format!("{} hooks", self.hook_types.len()),
            );
        }
        if let Some(samples) = self.max_samples
            && (samples == 0 || samples > i32::MAX as u32)
        {
            return bad("max_samples", "1 to 2,147,483,647", samples.to_string());
        }
        if !(1..=10_000).contains(&self.top_k_examples) {
            return bad(
                "top_k_examples",
                "1 to 10,000",
                self.top_k_examples.to_string(),
            );
        }
        Ok(())
    }

    fn event(change: Change<Self>) -> Option<ExtractionTemplateEvent> {
        ExtractionTemplateEvent::of(change)
    }

    fn change(event: &ExtractionTemplateEvent) -> Change<Self> {
        event.change()
    }

    fn event_type(event: &ExtractionTemplateEvent) -> &'static str {
        event.event_type()
    }
}
