//! Partitions: ranges of 1,000 feature ids, named after the first of them.

use super::{TABLE, execute};
use crate::ApplyError;
use sqlx::PgConnection;
use trainmaster_domain::job::{FEATURES_PER_PARTITION, FeatureBlock};

/// How long the tables' readers are waited for; then the event is tried again.
const LOCK_TIMEOUT: &str = "2s";

/// The table of the partition that begins at `first`.
pub(super) fn name(first: i64) -> String {
    format!("{TABLE}_{first:05}")
}

pub(super) async fn exists(connection: &mut PgConnection, first: i64) -> Result<bool, ApplyError> {
    sqlx::query_scalar("SELECT to_regclass(format('%I.%I', current_schema(), $1)) IS NOT NULL")
        .bind(name(first))
        .fetch_one(connection)
        .await
        .map_err(ApplyError::on(TABLE))
}

/// Puts the tables that wait in the places of the partitions of their ranges, and makes what the block lacks.
pub(super) async fn put(
    connection: &mut PgConnection,
    block: &FeatureBlock,
    waiting: &[i64],
) -> Result<(), ApplyError> {
    execute(
        connection,
        format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"),
    )
    .await?;
    for first in waiting {
        put_one(connection, *first).await?;
    }
    let end = block.first_feature_id.saturating_add(block.latents);
    let step = usize::try_from(FEATURES_PER_PARTITION).unwrap_or(1);
    for first in (block.first_feature_id..end).step_by(step) {
        if !exists(connection, first).await? {
            let after = first + FEATURES_PER_PARTITION;
            execute(
                connection,
                format!(
                    "CREATE TABLE {} PARTITION OF {TABLE} FOR VALUES FROM ({first}) TO ({after})",
                    name(first)
                ),
            )
            .await?;
        }
    }
    execute(connection, "SET LOCAL lock_timeout TO DEFAULT".to_owned()).await
}

async fn put_one(connection: &mut PgConnection, first: i64) -> Result<(), ApplyError> {
    let (table, after) = (name(first), first + FEATURES_PER_PARTITION);
    execute(
        connection,
        format!(
            "DROP TABLE IF EXISTS {table};
             DELETE FROM {TABLE}_default WHERE feature_id >= {first} AND feature_id < {after};
             ALTER TABLE {table}_next RENAME TO {table};
             ALTER INDEX {table}_next_pkey RENAME TO {table}_pkey;
             ALTER INDEX {table}_next_feature_id_idx RENAME TO {table}_feature_id_idx;
             ALTER INDEX {table}_next_feature_id_max_activation_idx RENAME TO {table}_feature_id_max_activation_idx;
             ALTER TABLE {TABLE} ATTACH PARTITION {table} FOR VALUES FROM ({first}) TO ({after});
             ALTER TABLE {table} DROP CONSTRAINT in_range"
        ),
    )
    .await
}
