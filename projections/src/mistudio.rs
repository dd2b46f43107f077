//! MechInterp Studio's tables. Filled so far: `datasets`, `models`, `trainings`, `training_metrics`, `checkpoints`; the
//! others are there, and wait for their events.

mod checkpoints;
mod datasets;
mod models;
mod training_metrics;
mod trainings;

use crate::{
    ApplyError, Serials,
    fold::{Happened, fold},
};
use sqlx::PgConnection;
use trainmaster_domain::{Event, RecordedEvent};

/// Raise it with every change of how events become rows.
pub(crate) const VERSION: u32 = 1;

pub(crate) const TABLES: &[&str] = &[
    "datasets",
    "models",
    "trainings",
    "training_metrics",
    "checkpoints",
    "features",
    "feature_activations",
    "training_templates",
    "extraction_templates",
    "steering_presets",
];

pub(crate) const DDL: &[&str] = &[
    include_str!("../../migrations/mistudio/01_datasets.sql"),
    include_str!("../../migrations/mistudio/02_models.sql"),
    include_str!("../../migrations/mistudio/03_trainings.sql"),
    include_str!("../../migrations/mistudio/04_training_metrics.sql"),
    include_str!("../../migrations/mistudio/05_checkpoints.sql"),
    include_str!("../../migrations/mistudio/06_features.sql"),
    include_str!("../../migrations/mistudio/07_feature_activations.sql"),
    include_str!("../../migrations/mistudio/08_training_templates.sql"),
    include_str!("../../migrations/mistudio/09_extraction_templates.sql"),
    include_str!("../../migrations/mistudio/10_steering_presets.sql"),
];

/// Tables that others refer to come first.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    serials: &mut Serials,
    events: &[RecordedEvent],
) -> Result<(), ApplyError> {
    let (mut of_datasets, mut of_models, mut of_trainings) = (vec![], vec![], vec![]);
    for recorded in events {
        match &recorded.event {
            Event::Dataset(event) => of_datasets.push(happened(recorded, event)),
            Event::Model(event) => of_models.push(happened(recorded, event)),
            Event::Training(event) => of_trainings.push(happened(recorded, event)),
            Event::Job(_) | Event::Feature(_) => {}
        }
    }
    fold::<datasets::Dataset>(connection, &of_datasets).await?;
    fold::<models::Model>(connection, &of_models).await?;
    fold::<trainings::Training>(connection, &of_trainings).await?;
    training_metrics::apply(connection, serials, &of_trainings).await?;
    checkpoints::apply(connection, &of_trainings).await?;
    trainings::look_back(connection, &of_trainings).await
}

fn happened<'a, E>(recorded: &'a RecordedEvent, event: &'a E) -> Happened<'a, E> {
    Happened {
        stream: &recorded.stream,
        position: recorded.position,
        at: recorded.recorded_at,
        event,
        event_type: recorded.event.event_type(),
    }
}
