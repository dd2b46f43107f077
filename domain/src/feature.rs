//! What people say of a feature: its name, its description, whether it is a favourite or hidden. That there is such a feature is a fact of
//! the extraction that found it; its stream is named after its number.

use crate::{
    Aggregate, Category, Event, Task,
    envelope::{IllegalTransition, WrongCategory},
};
use serde::{Deserialize, Serialize};

/// The longest name, in characters.
pub const MAX_NAME: usize = 500;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 20_000;

/// What can have happened to a feature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum FeatureEvent {
    /// A person named or described it.
    FeatureLabelled(Labels),
    /// A person marked it.
    FeatureFlagged(Flags),
}

/// Words for a feature; none: as before; empty: none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Marks of a feature; none: as before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags {
    /// Worth returning to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_favorite: Option<bool>,
    /// Not worth showing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_hidden: Option<bool>,
}

impl FeatureEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::FeatureLabelled(_) => "FeatureLabelled",
            Self::FeatureFlagged(_) => "FeatureFlagged",
        }
    }

    /// What it sets in motion: nothing.
    #[must_use]
    pub const fn task(&self) -> Option<Task> {
        None
    }
}

/// What can be asked of a feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeatureCommand {
    /// Say what it is, and mark it.
    Edit {
        /// Words.
        labels: Labels,
        /// Marks.
        flags: Flags,
    },
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureRefusal {
    /// Text that is too long.
    #[error("the {field} of a feature must be at most {most} characters")]
    Text {
        /// Which.
        field: &'static str,
        /// The most characters.
        most: usize,
    },
}

/// A feature, as people see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    labels: Labels,
    flags: Flags,
}

impl Feature {
    /// What people say of it.
    #[must_use]
    pub const fn labels(&self) -> &Labels {
        &self.labels
    }
    /// How people marked it.
    #[must_use]
    pub const fn flags(&self) -> Flags {
        self.flags
    }
}

impl Aggregate for Feature {
    const CATEGORY: Category = Category::Feature;
    type Command = FeatureCommand;
    type Event = FeatureEvent;
    type Refusal = FeatureRefusal;

    fn decide(&self, command: FeatureCommand) -> Result<Vec<FeatureEvent>, FeatureRefusal> {
        let FeatureCommand::Edit { labels, flags } = command;
        let texts = [
            ("name", &labels.name, MAX_NAME),
            ("description", &labels.description, MAX_DESCRIPTION),
        ];
        for (field, text, most) in texts {
            if text
                .as_ref()
                .is_some_and(|text| text.chars().count() > most)
            {
                return Err(FeatureRefusal::Text { field, most });
            }
        }
        let new_text = |given: Option<String>, known: &Option<String>| {
            given.filter(|given| Some(given) != known.as_ref())
        };
        let new_mark =
            |given: Option<bool>, known: Option<bool>| given.filter(|given| Some(*given) != known);
        let labels = Labels {
            name: new_text(labels.name, &self.labels.name),
            description: new_text(labels.description, &self.labels.description),
        };
        let flags = Flags {
            is_favorite: new_mark(flags.is_favorite, self.flags.is_favorite),
            is_hidden: new_mark(flags.is_hidden, self.flags.is_hidden),
        };
        let mut events = Vec::new();
        if labels != Labels::default() {
            events.push(FeatureEvent::FeatureLabelled(labels));
        }
        if flags != Flags::default() {
            events.push(FeatureEvent::FeatureFlagged(flags));
        }
        Ok(events)
    }

    fn evolve(&mut self, event: &FeatureEvent) -> Result<(), IllegalTransition> {
        match event {
            FeatureEvent::FeatureLabelled(labels) => {
                self.labels.name = labels.name.clone().or_else(|| self.labels.name.take());
                self.labels.description = labels
                    .description
                    .clone()
                    .or_else(|| self.labels.description.take());
            }
            FeatureEvent::FeatureFlagged(flags) => {
                self.flags.is_favorite = flags.is_favorite.or(self.flags.is_favorite);
                self.flags.is_hidden = flags.is_hidden.or(self.flags.is_hidden);
            }
        }
        Ok(())
    }
}

impl From<FeatureEvent> for Event {
    fn from(event: FeatureEvent) -> Self {
        Self::Feature(event)
    }
}

impl TryFrom<Event> for FeatureEvent {
    type Error = WrongCategory;
    fn try_from(event: Event) -> Result<Self, WrongCategory> {
        match event {
            Event::Feature(event) => Ok(event),
            other => Err(WrongCategory {
                event: other.event_type(),
                expected: Category::Feature,
            }),
        }
    }
}
