//! Tables of jobs on a SLURM cluster: segmentation trainings, the models that they yield, and predictions; autoencoders where SLURM trains them.

mod inference;
mod jobs;
mod model;
mod removal;
mod training;

use crate::{
    ApplyError, Applying, Projection, Serials,
    fold::{Happened, Piece, fold, pieces},
};
use sqlx::PgConnection;
use trainmaster_domain::{Event, RecordedEvent};

const READ_MODEL: &str = "pic";

/// Raise it with every change of how events become rows.
const VERSION: u32 = 2;

/// What is said of what somebody did not want any more.
const CANCELLED: &str = "It was cancelled.";

const TABLES: &[&str] = &["jobs", "training", "model", "inference"];

const DDL: &[&str] = &[
    include_str!("../../migrations/pic/01_jobs.sql"),
    include_str!("../../migrations/pic/02_training.sql"),
    include_str!("../../migrations/pic/03_model.sql"),
    include_str!("../../migrations/pic/04_inference.sql"),
];

/// The projection.
pub(crate) struct Pic;

impl Projection for Pic {
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

    fn key(&self, table: &str) -> &'static str {
        match table {
            "inference" => "predict_id",
            _ => "id",
        }
    }

    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        _serials: &'a mut Serials,
        events: &'a [RecordedEvent],
    ) -> Applying<'a> {
        Box::pin(apply(connection, events))
    }
}

/// Tables are folded over all events at a time, but for what removes rows, and for what others can only refer to once it is there.
async fn apply(connection: &mut PgConnection, events: &[RecordedEvent]) -> Result<(), ApplyError> {
    for piece in pieces(events, is_alone) {
        match piece {
            Piece::Alone(event) if removal::removes(event) => {
                removal::apply(connection, event).await?;
            }
            Piece::Alone(event) => apply_together(connection, std::slice::from_ref(event)).await?,
            Piece::Together(events) => apply_together(connection, events).await?,
        }
    }
    Ok(())
}

fn is_alone(recorded: &RecordedEvent) -> bool {
    removal::removes(recorded) || model::makes(recorded)
}

/// Tables that others refer to come first.
async fn apply_together(
    connection: &mut PgConnection,
    events: &[RecordedEvent],
) -> Result<(), ApplyError> {
    let told: Vec<_> = events
        .iter()
        .filter(|recorded| {
            matches!(
                recorded.event,
                Event::Training(_) | Event::Job(_) | Event::SlurmJob(_)
            )
        })
        .map(|recorded| Happened::new(recorded, recorded))
        .collect();
    jobs::apply(connection, events).await?;
    fold::<training::Training>(connection, &told).await?;
    fold::<model::Model>(connection, &told).await?;
    fold::<inference::Inference>(connection, &told).await
}
