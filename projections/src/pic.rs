//! Tables of jobs on a SLURM cluster.

use crate::{ApplyError, Applying, Projection, Serials};
use sqlx::PgConnection;
use trainmaster_domain::RecordedEvent;

const READ_MODEL: &str = "pic";

/// Raise it with every change of how events become rows.
const VERSION: u32 = 1;

/// Tables that others refer to come first.
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

async fn apply(
    _connection: &mut PgConnection,
    _events: &[RecordedEvent],
) -> Result<(), ApplyError> {
    Ok(())
}
