//! What an extraction says of features.

use super::{TABLE, rows::Latent};
use crate::ApplyError;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trainmaster_domain::{hyperparameters::Hyperparameters, job::FeatureBlock};

fn column<'a, T>(latents: &'a [Latent], of: impl Fn(&'a Latent) -> T) -> Vec<T> {
    latents.iter().map(of).collect()
}

/// Statistics. What was known of the same latents before makes room for them: scores, and names that no person gave.
pub(super) async fn insert(
    connection: &mut PgConnection,
    block: &FeatureBlock,
    latents: &[Latent],
    at: DateTime<Utc>,
) -> Result<(), ApplyError> {
    sqlx::query(include_str!("insert.sql"))
        .bind(block.training_id.as_str())
        .bind(block.first_feature_id)
        .bind(at)
        .bind(column(latents, |latent| latent.neuron_index))
        .bind(column(latents, |latent| latent.layer))
        .bind(column(latents, |latent| latent.activation_frequency))
        .bind(column(latents, |latent| latent.max_activation_value))
        .execute(connection)
        .await
        .map_err(ApplyError::on(TABLE))?;
    Ok(())
}

/// Names and descriptions, where no person gave any.
pub(super) async fn label(
    connection: &mut PgConnection,
    block: &FeatureBlock,
    latents: &[Latent],
    at: DateTime<Utc>,
) -> Result<(), ApplyError> {
    sqlx::query(include_str!("label.sql"))
        .bind(block.training_id.as_str())
        .bind(at)
        .bind(column(latents, |latent| latent.neuron_index))
        .bind(column(latents, |latent| latent.name.as_deref()))
        .bind(column(latents, |latent| latent.description.as_deref()))
        .execute(connection)
        .await
        .map_err(ApplyError::on(TABLE))?;
    Ok(())
}

/// Scores.
pub(super) async fn score(
    connection: &mut PgConnection,
    block: &FeatureBlock,
    latents: &[Latent],
    at: DateTime<Utc>,
) -> Result<(), ApplyError> {
    sqlx::query(
        "UPDATE features f
            SET interpretability_score = scored.score, updated_at = $2
           FROM unnest($3::integer[], $4::float8[]) AS scored (neuron_index, score)
          WHERE f.training_id = $1 AND f.neuron_index = scored.neuron_index",
    )
    .bind(block.training_id.as_str())
    .bind(at)
    .bind(column(latents, |latent| latent.neuron_index))
    .bind(column(latents, |latent| latent.interpretability_score))
    .execute(connection)
    .await
    .map_err(ApplyError::on(TABLE))?;
    Ok(())
}

/// Removes what was not found again in the autoencoders in which something was found.
pub(super) async fn remove_others(
    connection: &mut PgConnection,
    block: &FeatureBlock,
    found: &[i32],
) -> Result<(), ApplyError> {
    let width = latents_of_a_site(connection, block).await?;
    let mut sites: Vec<i64> = found
        .iter()
        .map(|neuron_index| i64::from(*neuron_index) / width)
        .collect();
    sites.dedup();
    sqlx::query(include_str!("remove_others.sql"))
        .bind(block.training_id.as_str())
        .bind(width)
        .bind(sites)
        .bind(found)
        .execute(connection)
        .await
        .map_err(ApplyError::on(TABLE))?;
    Ok(())
}

/// Latents are counted through all autoencoders of a training, which are equally wide.
async fn latents_of_a_site(
    connection: &mut PgConnection,
    block: &FeatureBlock,
) -> Result<i64, ApplyError> {
    let hyperparameters: serde_json::Value =
        sqlx::query_scalar("SELECT hyperparameters FROM trainings WHERE id = $1")
            .bind(block.training_id.as_str())
            .fetch_one(connection)
            .await
            .map_err(ApplyError::on(TABLE))?;
    let sites = serde_json::from_value::<Hyperparameters>(hyperparameters)
        .map_or(1, |hyperparameters| hyperparameters.sites(1).len());
    let sites = i64::try_from(sites).unwrap_or(1).max(1);
    Ok((block.latents / sites).max(1))
}
