//! Rows wait in tables of their own, `<partition>_next`, until their event is applied.
//!
//! Every step is a transaction, or a savepoint where the caller is in a transaction already.

use super::{
    Incoming, TABLE, execute, partitions,
    rows::{COLUMNS, Encode, Piece, WRITTEN},
};
use crate::{
    ApplyError,
    artifact::{Reading, Unusable},
};
use sqlx::{Acquire, PgConnection};
use std::collections::{BTreeSet, HashMap};
use trainmaster_domain::job::FEATURES_PER_PARTITION;

/// What waits.
pub(super) struct Staged {
    /// The first feature id of each partition.
    pub(super) partitions: Vec<i64>,
    /// Why nothing waits.
    pub(super) gap: Option<String>,
}

enum Stopped {
    Gap(Unusable),
    Failed(ApplyError),
}

impl From<ApplyError> for Stopped {
    fn from(error: ApplyError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unusable> for Stopped {
    fn from(reason: Unusable) -> Self {
        Self::Gap(reason)
    }
}

/// What was staged for an event before.
pub(super) async fn find(
    connection: &mut PgConnection,
    incoming: Incoming<'_>,
) -> Result<Option<Staged>, ApplyError> {
    let found: Option<(Vec<i64>, Option<String>)> = sqlx::query_as(
        "SELECT partitions, gap FROM projection.imports
          WHERE schema_name = current_schema() AND (transaction_id, sequence, first_id) = ($1, $2, $3)",
    )
    .bind(incoming.transaction())
    .bind(incoming.sequence())
    .bind(incoming.first_id)
    .fetch_optional(connection)
    .await
    .map_err(ApplyError::on("projection.imports"))?;
    Ok(found.map(|(partitions, gap)| Staged { partitions, gap }))
}

/// Copies the rows of an event, and notes that it is done.
pub(super) async fn stage(
    connection: &mut PgConnection,
    incoming: Incoming<'_>,
) -> Result<Staged, ApplyError> {
    forget(connection).await?;
    let staged = match fill(connection, incoming).await {
        Ok(partitions) => Staged {
            partitions,
            gap: None,
        },
        Err(Stopped::Failed(error)) => return Err(error),
        Err(Stopped::Gap(reason)) => {
            forget(connection).await?;
            Staged {
                partitions: vec![],
                gap: Some(reason.to_string()),
            }
        }
    };
    sqlx::query(
        "INSERT INTO projection.imports (schema_name, transaction_id, sequence, first_id, partitions, gap)
         VALUES (current_schema(), $1, $2, $3, $4, $5)",
    )
    .bind(incoming.transaction())
    .bind(incoming.sequence())
    .bind(incoming.first_id)
    .bind(&staged.partitions)
    .bind(&staged.gap)
    .execute(connection)
    .await
    .map_err(ApplyError::on("projection.imports"))?;
    Ok(staged)
}

/// Removes what waits, if anything does.
pub(super) async fn forget(connection: &mut PgConnection) -> Result<(), ApplyError> {
    let mut step = connection.begin().await.map_err(ApplyError::on(TABLE))?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class
          WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND NOT relispartition
            AND relname ~ '^feature_activations_[0-9]+_next$'",
    )
    .fetch_all(&mut *step)
    .await
    .map_err(ApplyError::on(TABLE))?;
    for table in tables {
        execute(&mut step, format!("DROP TABLE {table}")).await?;
    }
    sqlx::query("DELETE FROM projection.imports WHERE schema_name = current_schema()")
        .execute(&mut *step)
        .await
        .map_err(ApplyError::on("projection.imports"))?;
    step.commit().await.map_err(ApplyError::on(TABLE))
}

async fn fill(connection: &mut PgConnection, incoming: Incoming<'_>) -> Result<Vec<i64>, Stopped> {
    let block = &incoming.attached.block;
    let features: Vec<(i32, i64)> =
        sqlx::query_as("SELECT neuron_index, id FROM features WHERE training_id = $1")
            .bind(block.training_id.as_str())
            .fetch_all(&mut *connection)
            .await
            .map_err(ApplyError::on(TABLE))?;
    let features: HashMap<i32, i64> = features.into_iter().collect();
    let at = incoming.recorded.recorded_at;
    let encode = Encode::new(features, block.latents, incoming.first_id, at);
    let mut reading = Reading::begin(&incoming.attached.artifact, COLUMNS, encode);
    let mut partitions = BTreeSet::new();
    while let Some(piece) = reading.next().await? {
        let is_new = partitions.insert(piece.partition);
        copy(connection, piece, is_new).await?;
    }
    for partition in &partitions {
        finish(connection, *partition).await?;
    }
    Ok(partitions.into_iter().collect())
}

/// Writes a piece; `is_new`: it is the first of its partition.
async fn copy(connection: &mut PgConnection, piece: Piece, is_new: bool) -> Result<(), Stopped> {
    let mut step = connection.begin().await.map_err(ApplyError::on(TABLE))?;
    let table = partitions::name(piece.partition);
    if is_new {
        let (first, after) = (piece.partition, piece.partition + FEATURES_PER_PARTITION);
        // The check spares the reading of all rows when the table takes its place.
        execute(
            &mut step,
            format!(
                "CREATE TABLE {table}_next (LIKE {TABLE} INCLUDING DEFAULTS,
                     CONSTRAINT in_range CHECK (feature_id >= {first} AND feature_id < {after}))"
            ),
        )
        .await?;
    }
    piece
        .rows
        .copy_to(&mut step, &format!("{table}_next"), WRITTEN)
        .await
        .map_err(refused)?;
    step.commit().await.map_err(ApplyError::on(TABLE))?;
    Ok(())
}

/// Values that Postgres does not take are the artifact's fault, and no reason to stop.
fn refused(error: sqlx::Error) -> Stopped {
    match &error {
        sqlx::Error::Database(said) if said.code().is_some_and(|code| code.starts_with("22")) => {
            Stopped::Gap(Unusable::Content(said.message().to_owned()))
        }
        _ => Stopped::Failed(ApplyError::on(TABLE)(error)),
    }
}

/// Takes along the examples of features that the artifact says nothing of, and makes the table like a partition.
async fn finish(connection: &mut PgConnection, partition: i64) -> Result<(), ApplyError> {
    let table = partitions::name(partition);
    let index = |columns: &str, suffix: &str| {
        format!("CREATE INDEX {table}_next_{suffix} ON {table}_next ({columns})")
    };
    let mut step = connection.begin().await.map_err(ApplyError::on(TABLE))?;
    execute(&mut step, index("feature_id", "feature_id_idx")).await?;
    if partitions::exists(&mut step, partition).await? {
        execute(
            &mut step,
            format!(
                "INSERT INTO {table}_next SELECT * FROM {table} old
                  WHERE NOT EXISTS (SELECT FROM {table}_next new WHERE new.feature_id = old.feature_id)"
            ),
        )
        .await?;
    }
    execute(
        &mut step,
        format!(
            "ALTER TABLE {table}_next ADD CONSTRAINT {table}_next_pkey PRIMARY KEY (id, feature_id);
             {};
             ANALYZE {table}_next",
            index(
                "feature_id, max_activation DESC",
                "feature_id_max_activation_idx"
            )
        ),
    )
    .await?;
    step.commit().await.map_err(ApplyError::on(TABLE))?;
    // It locks features against writing, so it is a step of its own.
    let mut step = connection.begin().await.map_err(ApplyError::on(TABLE))?;
    execute(
        &mut step,
        format!(
            "ALTER TABLE {table}_next ADD CONSTRAINT feature_activations_feature_id_fkey
                 FOREIGN KEY (feature_id) REFERENCES features (id) ON DELETE CASCADE"
        ),
    )
    .await?;
    step.commit().await.map_err(ApplyError::on(TABLE))
}
