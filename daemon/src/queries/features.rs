//! Rows of `mistudio.features`, and their examples.

mod cursor;
mod list;

pub use cursor::FeatureCursor;
pub use list::{FeatureFilter, FeatureOrder, FeatureSort, Hidden};

use super::{Queries, QueryError, attempt};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A latent of an autoencoder that means something.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Feature {
    /// Its number, by which it goes everywhere.
    pub id: i64,
    /// Whose autoencoder has it.
    pub training_id: String,
    /// Which latent, counted through all the training's autoencoders.
    pub neuron_index: i32,
    /// The layer of the language model.
    pub layer: Option<i32>,
    /// What a person or a program calls it.
    pub name: Option<String>,
    /// What it stands for.
    pub description: Option<String>,
    /// 0 to 1: on how many tokens it is active.
    pub activation_frequency: f64,
    /// 0 to 1.
    pub interpretability_score: Option<f64>,
    /// The strongest activation seen.
    pub max_activation_value: Option<f64>,
    /// Marked by a person.
    pub is_favorite: bool,
    /// Hidden by a person.
    pub is_hidden: bool,
    /// When it was extracted.
    pub created_at: DateTime<Utc>,
    /// When something was last said of it.
    pub updated_at: DateTime<Utc>,
}

/// A feature with its strongest examples.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FeatureDetail {
    /// Its row.
    #[serde(flatten)]
    pub feature: Feature,
    /// The strongest first.
    pub examples: Vec<Example>,
}

/// A window of text around a token on which a feature is active.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct Example {
    /// Its id.
    pub id: i64,
    /// The packed sequence: `<dataset id>/<number>`.
    pub dataset_sample_id: Option<String>,
    /// Its number.
    pub sample_index: Option<i32>,
    /// The tokens of the window.
    #[sqlx(json)]
    pub tokens: Vec<String>,
    /// The activation on each.
    #[sqlx(json)]
    pub activations: Vec<f64>,
    /// The largest of them.
    pub max_activation: f64,
    /// Text of the window before the strongest token.
    pub context_before: Option<String>,
    /// Text after it.
    pub context_after: Option<String>,
}

/// The most examples of a feature that are shown at once.
pub const MOST_EXAMPLES: u32 = 1_000;

impl Queries {
    /// A feature and its strongest examples.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn feature(
        &self,
        id: i64,
        examples: u32,
    ) -> Result<Option<FeatureDetail>, QueryError> {
        let wanted = || attempt(format!("feature {id}"));
        let feature: Option<Feature> = sqlx::query_as(include_str!("features/one.sql"))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(wanted())?;
        let Some(feature) = feature else {
            return Ok(None);
        };
        let examples = sqlx::query_as(include_str!("features/examples.sql"))
            .bind(id)
            .bind(i64::from(examples.min(MOST_EXAMPLES)))
            .fetch_all(&self.pool)
            .await
            .map_err(wanted())?;
        Ok(Some(FeatureDetail { feature, examples }))
    }

    /// Features of a training behind a latent, in the order of the latents: pieces of the whole table.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn features_behind(
        &self,
        training_id: &str,
        neuron_index: i32,
        limit: u32,
    ) -> Result<Vec<Feature>, QueryError> {
        sqlx::query_as(include_str!("features/behind.sql"))
            .bind(training_id)
            .bind(neuron_index)
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!("the features of training {training_id}")))
    }
}
