//! What people keep for another time (templates, presets): made, changed, marked and deleted. One state machine for every kind; a kind
//! is its [`Definition`] and the names of its events.

use crate::{
    Aggregate, Category, Event, StreamId,
    envelope::{IllegalTransition, WrongCategory},
    hyperparameters::InvalidHyperparameter,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// The longest name, in characters.
pub const MAX_NAME: usize = 500;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 20_000;

/// What is kept.
pub trait Definition:
    Clone + PartialEq + std::fmt::Debug + Serialize + DeserializeOwned + Send + 'static
{
    /// Which streams hold it.
    const CATEGORY: Category;
    /// What people call such a thing.
    const NOUN: &'static str;
    /// Its events.
    type Event: Clone + Into<Event> + TryFrom<Event, Error = WrongCategory> + Send;

    /// Checks every value.
    ///
    /// # Errors
    /// The first that is out of its range.
    fn validate(&self) -> Result<(), KeptRefusal>;

    /// What must not be deleted before it.
    fn needs(&self) -> Vec<StreamId> {
        Vec::new()
    }

    /// What happened as an event; none for what does not happen to this kind.
    fn event(change: Change<Self>) -> Option<Self::Event>;

    /// What an event says.
    fn change(event: &Self::Event) -> Change<Self>;

    /// The event's type.
    fn event_type(event: &Self::Event) -> &'static str;
}

/// What can happen to what is kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<D> {
    /// It was made.
    Created(D),
    /// It says something else now: all of it.
    Updated(D),
    /// It was marked, or is not any more.
    Favourited(bool),
    /// It is gone.
    Deleted,
}

/// What can be asked of it.
#[derive(Clone, Debug, PartialEq)]
pub enum KeptCommand<D> {
    /// Make it.
    Create(Box<D>),
    /// Change what is given, as a merge patch (RFC 7396) of its JSON, and mark it or not.
    Update {
        /// What is to be different.
        patch: Map<String, Value>,
        /// Whether it is a favourite; none: as before.
        is_favorite: Option<bool>,
    },
    /// Delete it.
    Delete,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeptRefusal {
    /// There is none.
    #[error("there is no such {0}")]
    Absent(&'static str),
    /// The id is taken, or was once.
    #[error("there is a {0} of that id already, or was one")]
    Exists(&'static str),
    /// It has been deleted.
    #[error("this {0} has been deleted; its id is not used again")]
    Deleted(&'static str),
    /// A value out of its range.
    #[error("{field} must be {must}; it is {given}")]
    Value {
        /// Its name in JSON.
        field: &'static str,
        /// What it must be.
        must: &'static str,
        /// What was given.
        given: String,
    },
    /// It would not be such a thing any more.
    #[error("{0}")]
    Unreadable(String),
    /// A hyperparameter is out of range.
    #[error(transparent)]
    Hyperparameter(#[from] InvalidHyperparameter),
    /// Such a thing has no mark.
    #[error("a {0} cannot be a favourite")]
    NoMark(&'static str),
}

/// Something that is kept, as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Kept<D> {
    /// Nothing has happened.
    #[default]
    Absent,
    /// It is there.
    There {
        /// What it says.
        definition: Box<D>,
        /// Whether it is marked.
        is_favorite: bool,
    },
    /// It was there.
    Deleted,
}

impl<D: Definition> Kept<D> {
    /// What it says, while it is there.
    #[must_use]
    pub fn definition(&self) -> Option<&D> {
        match self {
            Self::There { definition, .. } => Some(definition),
            Self::Absent | Self::Deleted => None,
        }
    }

    fn update(
        &self,
        patch: Map<String, Value>,
        is_favorite: Option<bool>,
    ) -> Result<Vec<Change<D>>, KeptRefusal> {
        let (definition, was_favorite) = match self {
            Self::Absent => return Err(KeptRefusal::Absent(D::NOUN)),
            Self::Deleted => return Err(KeptRefusal::Deleted(D::NOUN)),
            Self::There {
                definition,
                is_favorite,
            } => (definition, *is_favorite),
        };
        let unreadable = |error: serde_json::Error| KeptRefusal::Unreadable(error.to_string());
        let mut whole = serde_json::to_value(definition).map_err(unreadable)?;
        merge(&mut whole, patch);
        let next: D = serde_json::from_value(whole).map_err(unreadable)?;
        let mut changes = vec![];
        if next != **definition {
            next.validate()?;
            changes.push(Change::Updated(next));
        }
        if let Some(mark) = is_favorite.filter(|mark| *mark != was_favorite) {
            changes.push(Change::Favourited(mark));
        }
        Ok(changes)
    }
}

/// RFC 7396: null removes, objects are merged, anything else replaces.
fn merge(target: &mut Value, patch: Map<String, Value>) {
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        match value {
            Value::Null => {
                target.remove(&name);
            }
            Value::Object(patch) => merge(target.entry(name).or_insert(Value::Null), patch),
            value => {
                target.insert(name, value);
            }
        }
    }
}

impl<D: Definition> Aggregate for Kept<D> {
    const CATEGORY: Category = D::CATEGORY;
    type Command = KeptCommand<D>;
    type Event = D::Event;
    type Refusal = KeptRefusal;

    fn decide(&self, command: KeptCommand<D>) -> Result<Vec<D::Event>, KeptRefusal> {
        let changes = match (command, self) {
            (KeptCommand::Create(definition), Self::Absent) => {
                definition.validate()?;
                vec![Change::Created(*definition)]
            }
            (KeptCommand::Create(_), _) => return Err(KeptRefusal::Exists(D::NOUN)),
            (KeptCommand::Update { patch, is_favorite }, _) => self.update(patch, is_favorite)?,
            (KeptCommand::Delete, Self::There { .. }) => vec![Change::Deleted],
            (KeptCommand::Delete, Self::Absent) => return Err(KeptRefusal::Absent(D::NOUN)),
            (KeptCommand::Delete, Self::Deleted) => return Err(KeptRefusal::Deleted(D::NOUN)),
        };
        changes
            .into_iter()
            .map(|change| D::event(change).ok_or(KeptRefusal::NoMark(D::NOUN)))
            .collect()
    }

    fn evolve(&mut self, event: &D::Event) -> Result<(), IllegalTransition> {
        let (status, next) = match (&*self, D::change(event)) {
            (Self::Absent, Change::Created(definition)) => (
                "absent",
                Some(Self::There {
                    definition: Box::new(definition),
                    is_favorite: false,
                }),
            ),
            (Self::There { is_favorite, .. }, Change::Updated(definition)) => (
                "there",
                Some(Self::There {
                    definition: Box::new(definition),
                    is_favorite: *is_favorite,
                }),
            ),
            (Self::There { definition, .. }, Change::Favourited(is_favorite)) => (
                "there",
                Some(Self::There {
                    definition: definition.clone(),
                    is_favorite,
                }),
            ),
            (Self::There { .. }, Change::Deleted) => ("there", Some(Self::Deleted)),
            (Self::Absent, _) => ("absent", None),
            (Self::There { .. }, _) => ("there", None),
            (Self::Deleted, _) => ("deleted", None),
        };
        *self = next.ok_or(IllegalTransition {
            category: D::CATEGORY,
            status,
            event: D::event_type(event),
        })?;
        Ok(())
    }

    fn is_deleted(&self) -> bool {
        matches!(self, Self::Deleted)
    }

    fn needs(&self, _events: &[D::Event]) -> Vec<StreamId> {
        self.definition().map_or_else(Vec::new, D::needs)
    }
}

/// Checks the words that every kind has.
pub(crate) fn check_words(name: &str, description: Option<&str>) -> Result<(), KeptRefusal> {
    let length = name.chars().count();
    if name.trim().is_empty() || length > MAX_NAME || name.chars().any(char::is_control) {
        return Err(KeptRefusal::Value {
            field: "name",
            must: "one line of 1 to 500 characters",
            given: format!("{length} characters"),
        });
    }
    if let Some(text) = description
        && (text.chars().count() > MAX_DESCRIPTION || text.contains('\0'))
    {
        return Err(KeptRefusal::Value {
            field: "description",
            must: "at most 20,000 characters, none of them NUL",
            given: format!("{} characters", text.chars().count()),
        });
    }
    Ok(())
}

/// The events of a kind: an enum with a name for each change, and its place among all events.
macro_rules! events {
    ($(#[$about:meta])* $event:ident of $definition:ty, $variant:ident: $created:ident, $updated:ident, $deleted:ident $(, $favourited:ident)?) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "type", content = "payload")]
        pub enum $event {
            /// It was made.
            $created($definition),
            /// It says something else now: all of it.
            $updated($definition),
            $(
                /// It was marked, or is not any more.
                $favourited($crate::kept::Favourite),
            )?
            /// It is gone.
            $deleted {},
        }

        impl $event {
            /// As the log's `type` column holds it.
            #[must_use]
            pub const fn event_type(&self) -> &'static str {
                match self {
                    Self::$created(_) => stringify!($created),
                    Self::$updated(_) => stringify!($updated),
                    $(Self::$favourited(_) => stringify!($favourited),)?
                    Self::$deleted {} => stringify!($deleted),
                }
            }

            /// What it sets in motion: nothing.
            #[must_use]
            pub const fn task(&self) -> Option<$crate::Task> {
                None
            }

            fn of(change: $crate::kept::Change<$definition>) -> Option<Self> {
                Some(match change {
                    $crate::kept::Change::Created(definition) => Self::$created(definition),
                    $crate::kept::Change::Updated(definition) => Self::$updated(definition),
                    $($crate::kept::Change::Favourited(is_favorite) => {
                        Self::$favourited($crate::kept::Favourite { is_favorite })
                    })?
                    $crate::kept::Change::Deleted => Self::$deleted {},
                    #[allow(unreachable_patterns, reason = "only kinds without a mark come here")]
                    _ => return None,
                })
            }

            fn change(&self) -> $crate::kept::Change<$definition> {
                match self {
                    Self::$created(definition) => $crate::kept::Change::Created(definition.clone()),
                    Self::$updated(definition) => $crate::kept::Change::Updated(definition.clone()),
                    $(Self::$favourited(mark) => $crate::kept::Change::Favourited(mark.is_favorite),)?
                    Self::$deleted {} => $crate::kept::Change::Deleted,
                }
            }
        }

        impl From<$event> for $crate::Event {
            fn from(event: $event) -> Self {
                Self::$variant(event)
            }
        }

        impl TryFrom<$crate::Event> for $event {
            type Error = $crate::envelope::WrongCategory;
            fn try_from(event: $crate::Event) -> Result<Self, Self::Error> {
                match event {
                    $crate::Event::$variant(event) => Ok(event),
                    other => Err($crate::envelope::WrongCategory {
                        event: other.event_type(),
                        expected: $crate::Category::$variant,
                    }),
                }
            }
        }
    };
}

pub(crate) use events;

/// A mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Favourite {
    /// Whether it is marked now.
    pub is_favorite: bool,
}
