//! `features` ← FeaturesExtracted, FeaturesLabelled, FeaturesScored (each an artifact), FeatureLabelled, FeatureFlagged.
//!
//! What people say stands in `projection.feature_words` as well, so that names made by a program never replace theirs, and marks outlast
//! another extraction. An extraction replaces all that earlier ones found in the same autoencoders; what it does not find again goes,
//! unless a person has named or marked it. A feature keeps its id, whichever block a later extraction brings.

mod found;
pub(crate) mod rows;
mod said;

pub(super) use said::apply as say;

use super::READ_MODEL;
use crate::{
    ApplyError,
    artifact::{Reading, Unusable, record_gap},
};
use parquet::basic::Type;
use rows::{InBlock, Latent};
use sqlx::{Acquire, PgConnection};
use trainmaster_domain::{
    RecordedEvent,
    job::{FeatureBlock, JobEvent},
    run::journal::Artifact,
};

pub(super) const TABLE: &str = "features";

pub(crate) const COLUMNS: &[(&str, Type)] = &[
    ("neuron_index", Type::INT32),
    ("layer", Type::INT32),
    ("activation_frequency", Type::DOUBLE),
    ("max_activation_value", Type::DOUBLE),
    ("name", Type::BYTE_ARRAY),
    ("description", Type::BYTE_ARRAY),
    ("interpretability_score", Type::DOUBLE),
];

/// Why rows were not written.
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

/// Applies what an extraction found of features: all rows of the artifact, or none and a gap.
pub(super) async fn import(
    connection: &mut PgConnection,
    recorded: &RecordedEvent,
    event: &JobEvent,
) -> Result<(), ApplyError> {
    let (block, artifact) = match event {
        JobEvent::FeaturesExtracted(found) => (&found.block, &found.artifact),
        JobEvent::FeaturesLabelled(found) => (&found.block, &found.artifact),
        JobEvent::FeaturesScored(found) => (&found.block, &found.artifact),
        _ => return Ok(()),
    };
    if !has_training(connection, block).await? {
        return Ok(());
    }
    let mut attempt = connection.begin().await.map_err(ApplyError::on(TABLE))?;
    match write(&mut attempt, recorded, event, block, artifact).await {
        Ok(()) => attempt.commit().await.map_err(ApplyError::on(TABLE)),
        Err(Stopped::Failed(error)) => Err(error),
        Err(Stopped::Gap(reason)) => {
            attempt.rollback().await.map_err(ApplyError::on(TABLE))?;
            record_gap(
                connection,
                READ_MODEL,
                recorded,
                &block.training_id,
                artifact,
                &reason.to_string(),
            )
            .await
        }
    }
}

async fn write(
    connection: &mut PgConnection,
    recorded: &RecordedEvent,
    event: &JobEvent,
    block: &FeatureBlock,
    artifact: &Artifact,
) -> Result<(), Stopped> {
    let at = recorded.recorded_at;
    let mut reading = Reading::begin(artifact, COLUMNS, InBlock::new(block.latents));
    let mut found = vec![];
    while let Some(latents) = reading.next().await? {
        match event {
            JobEvent::FeaturesExtracted(_) => {
                found.extend(latents.iter().map(|latent: &Latent| latent.neuron_index));
                found::insert(connection, block, &latents, at).await?;
            }
            JobEvent::FeaturesLabelled(_) => {
                found::label(connection, block, &latents, at).await?;
            }
            _ => found::score(connection, block, &latents, at).await?,
        }
    }
    if matches!(event, JobEvent::FeaturesExtracted(_)) {
        found::remove_others(connection, block, &found).await?;
    }
    Ok(())
}

/// A training that was deleted takes its features along, whoever speaks of them later.
pub(super) async fn has_training(
    connection: &mut PgConnection,
    block: &FeatureBlock,
) -> Result<bool, ApplyError> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM trainings WHERE id = $1)")
        .bind(block.training_id.as_str())
        .fetch_one(connection)
        .await
        .map_err(ApplyError::on(TABLE))
}
