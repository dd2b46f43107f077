//! What a report says of a training's features, beside what other reads say.

use super::{Queries, QueryError, attempt};
use sqlx::types::Json;

/// A feature that is worth a look.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct BestFeature {
    /// Its id.
    pub id: i64,
    /// Which latent.
    pub neuron_index: i32,
    /// The layer of the language model.
    pub layer: Option<i32>,
    /// What it is called.
    pub name: Option<String>,
    /// What it stands for.
    pub description: Option<String>,
    /// 0 to 1: on how many tokens it is active.
    pub activation_frequency: f64,
    /// 0 to 1.
    pub interpretability_score: Option<f64>,
    /// The strongest activation seen.
    pub max_activation_value: Option<f64>,
    /// Where it is most active.
    pub examples: Json<Vec<ReportExample>>,
}

/// A window of text.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub struct ReportExample {
    /// Its tokens.
    pub tokens: Vec<String>,
    /// The activation on each.
    pub activations: Vec<f64>,
}

/// How many features are active about as often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct FrequencyBin {
    /// Those with log10(frequency) of `bin` / 4 and up to (`bin` + 1) / 4.
    pub bin: i32,
    /// How many.
    pub features: i64,
}

impl Queries {
    /// The features of a training with the highest scores, hidden ones left out, each with its strongest examples.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn best_features(
        &self,
        training_id: &str,
        features: i64,
        examples: i64,
    ) -> Result<Vec<BestFeature>, QueryError> {
        sqlx::query_as(include_str!("report/best.sql"))
            .bind(training_id)
            .bind(features)
            .bind(examples)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!(
                "the best features of training {training_id}"
            )))
    }

    /// How many features are active how often.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn feature_density(
        &self,
        training_id: &str,
    ) -> Result<Vec<FrequencyBin>, QueryError> {
        sqlx::query_as(include_str!("report/density.sql"))
            .bind(training_id)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!(
                "the density of features of training {training_id}"
            )))
    }
}
