//! A cross-validation: one wish that becomes as many segmentation trainings as it has folds.
//!
//! Each fold is a training of its own; what they found is gathered by whoever asks. The wish is written down first, so a crash between two folds
//! leaves none out.

use crate::{
    Aggregate, Category, Event, Task,
    envelope::{IllegalTransition, WrongCategory},
    hyperparameters::InvalidHyperparameter,
    id::{CrossValidationId, InvalidId, TrainingId},
    segmentation::{SegmentationSettings, Split},
    slurm::{Placement, placement::InvalidPlacement},
    training::{Fold, QueueSegmentation, check_lengths},
};
use serde::{Deserialize, Serialize};

/// The most folds of a cross-validation.
pub const MOST_FOLDS: u16 = 100;

/// What can have happened to a cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum CrossValidationEvent {
    /// Somebody wants it.
    CrossValidationQueued(Box<Queued>),
    /// Each of its folds is a training that waits.
    FoldsQueued {},
}

/// Somebody wants a cross-validation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// What it is called.
    pub name: String,
    /// Where the images are.
    pub images_path: String,
    /// Where their labels are.
    pub labels_path: String,
    /// How each fold is trained.
    pub settings: SegmentationSettings,
    /// How many folds.
    pub folds: u16,
    /// On which cluster; none: on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

impl CrossValidationEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::CrossValidationQueued(_) => "CrossValidationQueued",
            Self::FoldsQueued {} => "FoldsQueued",
        }
    }

    /// What it sets in motion.
    #[must_use]
    pub const fn task(&self) -> Option<Task> {
        match self {
            Self::CrossValidationQueued(_) => Some(Task::Dispatch { not_before: None }),
            Self::FoldsQueued {} => Some(Task::Unblock),
        }
    }
}

/// What can be asked of a cross-validation.
#[derive(Clone, Debug, PartialEq)]
pub enum CrossValidationCommand {
    /// Want it.
    Queue(Box<Queued>),
    /// Each of its folds is a training that waits.
    NoteFolds,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CrossValidationRefusal {
    /// No such cross-validation.
    #[error("there is no such cross-validation")]
    Absent,
    /// The id is taken.
    #[error("there is a cross-validation of that id already")]
    Exists,
    /// Something of it cannot be recorded.
    #[error("{name} must be {must}")]
    Value {
        /// Its name in JSON.
        name: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] InvalidHyperparameter),
    /// The cluster cannot be asked for that.
    #[error(transparent)]
    Placement(#[from] InvalidPlacement),
}

/// A cross-validation, as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CrossValidation {
    queued: Option<Queued>,
    has_folds: bool,
}

impl CrossValidation {
    /// What was asked for; none before it was queued.
    #[must_use]
    pub const fn queued(&self) -> Option<&Queued> {
        self.queued.as_ref()
    }
    /// Whether all folds are trainings.
    #[must_use]
    pub const fn has_folds(&self) -> bool {
        self.has_folds
    }
    /// The folds as trainings, in order.
    ///
    /// # Errors
    /// When the cross-validation's id cannot be part of a training's.
    pub fn folds(
        &self,
        id: &CrossValidationId,
    ) -> Result<Vec<(TrainingId, QueueSegmentation)>, InvalidId> {
        let Some(queued) = &self.queued else {
            return Ok(vec![]);
        };
        (0..queued.folds)
            .map(|index| {
                let training = QueueSegmentation {
                    name: queued.name.clone(),
                    images_path: queued.images_path.clone(),
                    labels_path: queued.labels_path.clone(),
                    settings: queued.settings.clone(),
                    fold: Some(Fold {
                        group: id.clone(),
                        split: Split {
                            index,
                            folds: queued.folds,
                            seed: queued.settings.seed,
                        },
                    }),
                    placement: queued.placement.clone(),
                };
                Ok((fold_id(id, index)?, training))
            })
            .collect()
    }
}

/// The training that a fold is.
///
/// # Errors
/// When the cross-validation's id cannot be part of a training's.
pub fn fold_id(id: &CrossValidationId, index: u16) -> Result<TrainingId, InvalidId> {
    let unique = id
        .as_str()
        .strip_prefix(CrossValidationId::PREFIX)
        .unwrap_or(id.as_str());
    TrainingId::segmentation(&format!("{unique}_{index}"))
}

impl Aggregate for CrossValidation {
    const CATEGORY: Category = Category::CrossValidation;
    type Command = CrossValidationCommand;
    type Event = CrossValidationEvent;
    type Refusal = CrossValidationRefusal;

    fn decide(
        &self,
        command: CrossValidationCommand,
    ) -> Result<Vec<CrossValidationEvent>, CrossValidationRefusal> {
        match command {
            CrossValidationCommand::Queue(queued) => {
                if self.queued.is_some() {
                    return Err(CrossValidationRefusal::Exists);
                }
                queued.settings.validate()?;
                // What no fold could be called is refused before there are folds.
                if let Err((name, must)) =
                    check_lengths(&queued.name, &queued.images_path, &queued.labels_path)
                {
                    return Err(CrossValidationRefusal::Value { name, must });
                }
                if let Some(placement) = &queued.placement {
                    placement.validate()?;
                }
                if !(2..=MOST_FOLDS).contains(&queued.folds) {
                    return Err(CrossValidationRefusal::Setting(InvalidHyperparameter {
                        name: "folds",
                        must: "2 to 100",
                        given: queued.folds.to_string(),
                    }));
                }
                Ok(vec![CrossValidationEvent::CrossValidationQueued(queued)])
            }
            CrossValidationCommand::NoteFolds => match (&self.queued, self.has_folds) {
                (None, _) => Err(CrossValidationRefusal::Absent),
                (Some(_), true) => Ok(vec![]),
                (Some(_), false) => Ok(vec![CrossValidationEvent::FoldsQueued {}]),
            },
        }
    }

    fn evolve(&mut self, event: &CrossValidationEvent) -> Result<(), IllegalTransition> {
        match event {
            CrossValidationEvent::CrossValidationQueued(queued) if self.queued.is_none() => {
                self.queued = Some((**queued).clone());
            }
            CrossValidationEvent::FoldsQueued {} if self.queued.is_some() && !self.has_folds => {
                self.has_folds = true;
            }
            event => {
                return Err(IllegalTransition {
                    category: Category::CrossValidation,
                    status: if self.queued.is_some() {
                        "queued"
                    } else {
                        "absent"
                    },
                    event: event.event_type(),
                });
            }
        }
        Ok(())
    }
}

impl From<CrossValidationEvent> for Event {
    fn from(event: CrossValidationEvent) -> Self {
        Self::CrossValidation(event)
    }
}

impl TryFrom<Event> for CrossValidationEvent {
    type Error = WrongCategory;
    fn try_from(event: Event) -> Result<Self, WrongCategory> {
        match event {
            Event::CrossValidation(event) => Ok(event),
            other => Err(WrongCategory {
                event: other.event_type(),
                expected: Category::CrossValidation,
            }),
        }
    }
}
