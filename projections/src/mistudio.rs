//! MechInterp Studio's tables.

mod checkpoints;
mod datasets;
mod extraction_templates;
pub(crate) mod feature_activations;
pub(crate) mod features;
mod models;
mod removal;
mod steering_presets;
mod training_metrics;
mod training_templates;
mod trainings;

use crate::{
    ApplyError, Applying, Imports, Loaded, Projection, Serials,
    fold::{Happened, Piece, fold, pieces},
};
use sqlx::PgConnection;
use trainmaster_domain::{
    Event, RecordedEvent,
    id::TrainingId,
    job::{ActivationsAttached, JobEvent},
};

const READ_MODEL: &str = "mistudio";

/// Raise it with every change of how events become rows.
const VERSION: u32 = 5;

const TABLES: &[&str] = &[
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

const DDL: &[&str] = &[
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

/// All but a few of the rows.
const LOADED: &[Loaded] = &[Loaded {
    table: "training_metrics",
    // What an attempt that goes back to an earlier step, or looks back at it, finds rows by.
    needed: &["training_metrics_unique_step"],
}];

const IMPORTS: Imports = Imports {
    subject: "trainings",
    stray: "feature_activations_default",
};

/// The projection.
pub(crate) struct Mistudio;

impl Projection for Mistudio {
    fn name(&self) -> &'static str {
        READ_MODEL
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn ddl(&self) -> &'static [&'static str] {
        DDL
    }

    fn tables(&self) -> &'static [&'static str] {
        TABLES
    }

    fn imports(&self) -> Option<Imports> {
        Some(IMPORTS)
    }

    fn loaded(&self) -> &'static [Loaded] {
        LOADED
    }

    fn is_bulk(&self, event: &Event) -> bool {
        bulk(event).is_some()
    }

    fn prepare<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        schema: &'a str,
        serials: &'a Serials,
        event: &'a RecordedEvent,
    ) -> Applying<'a> {
        Box::pin(prepare(connection, schema, serials, event))
    }

    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        serials: &'a mut Serials,
        events: &'a [RecordedEvent],
    ) -> Applying<'a> {
        Box::pin(apply(connection, serials, events))
    }
}

/// Tables are folded over all events at a time, but for artifacts and for what removes rows: what these do depends on what others have
/// said before.
async fn apply(
    connection: &mut PgConnection,
    serials: &mut Serials,
    events: &[RecordedEvent],
) -> Result<(), ApplyError> {
    for piece in pieces(events, is_alone) {
        match piece {
            Piece::Alone(event) => apply_alone(connection, serials, event).await?,
            Piece::Together(events) => apply_together(connection, serials, events).await?,
        }
    }
    Ok(())
}

/// What an event brings that is too much for one transaction.
const fn bulk(event: &Event) -> Option<&ActivationsAttached> {
    match event {
        Event::Job(JobEvent::ActivationsAttached(attached)) => Some(attached),
        _ => None,
    }
}

async fn prepare(
    connection: &mut PgConnection,
    schema: &str,
    serials: &Serials,
    recorded: &RecordedEvent,
) -> Result<(), ApplyError> {
    match bulk(&recorded.event) {
        Some(attached) => {
            feature_activations::prepare(connection, schema, serials, recorded, attached).await
        }
        None => Ok(()),
    }
}

/// Whether an event is applied by itself, in its place in the log.
fn is_alone(recorded: &RecordedEvent) -> bool {
    imports(recorded)
        || removal::removes(&recorded.event) && !TrainingId::is_segmentation(&recorded.stream.id)
}

/// Whether an event names an artifact.
const fn imports(recorded: &RecordedEvent) -> bool {
    matches!(
        recorded.event,
        Event::Job(
            JobEvent::FeaturesExtracted(_)
                | JobEvent::FeaturesLabelled(_)
                | JobEvent::FeaturesScored(_)
                | JobEvent::ActivationsAttached(_)
        )
    )
}

async fn apply_alone(
    connection: &mut PgConnection,
    serials: &mut Serials,
    recorded: &RecordedEvent,
) -> Result<(), ApplyError> {
    match &recorded.event {
        Event::Job(JobEvent::ActivationsAttached(attached)) => {
            feature_activations::apply(connection, serials, recorded, attached).await
        }
        Event::Job(event) => features::import(connection, recorded, event).await,
        _ => removal::apply(connection, recorded).await,
    }
}

/// Tables that others refer to come first.
async fn apply_together(
    connection: &mut PgConnection,
    serials: &mut Serials,
    events: &[RecordedEvent],
) -> Result<(), ApplyError> {
    let (mut of_datasets, mut of_models, mut of_trainings) = (vec![], vec![], vec![]);
    let mut of_features = vec![];
    let (mut of_templates, mut of_extractions, mut of_presets) = (vec![], vec![], vec![]);
    for recorded in events {
        match &recorded.event {
            Event::Dataset(event) => of_datasets.push(Happened::new(recorded, event)),
            Event::Model(event) => of_models.push(Happened::new(recorded, event)),
            // Whose model and dataset this document does not know.
            Event::Training(_) if TrainingId::is_segmentation(&recorded.stream.id) => {}
            Event::Training(event) => of_trainings.push(Happened::new(recorded, event)),
            Event::Feature(event) => of_features.push(Happened::new(recorded, event)),
            Event::TrainingTemplate(event) => of_templates.push(Happened::new(recorded, event)),
            Event::ExtractionTemplate(event) => of_extractions.push(Happened::new(recorded, event)),
            Event::Preset(event) => of_presets.push(Happened::new(recorded, event)),
            Event::Job(_) | Event::SlurmJob(_) | Event::CrossValidation(_) => {}
        }
    }
    fold::<datasets::Dataset>(connection, &of_datasets).await?;
    fold::<models::Model>(connection, &of_models).await?;
    fold::<trainings::Training>(connection, &of_trainings).await?;
    training_metrics::apply(connection, serials, &of_trainings).await?;
    checkpoints::apply(connection, &of_trainings).await?;
    trainings::look_back(connection, &of_trainings).await?;
    features::say(connection, &of_features).await?;
    fold::<training_templates::Template>(connection, &of_templates).await?;
    fold::<extraction_templates::Template>(connection, &of_extractions).await?;
    fold::<steering_presets::SteeringPreset>(connection, &of_presets).await
}
