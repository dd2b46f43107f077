//! What would go: found in the read model.

use super::{Retention, RetentionError};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

/// The most of each kind that one plan lists, the oldest trainings first; what is left comes with the next.
pub(super) const MOST: i64 = 10_000;

/// What would go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// By the policy at this time.
    pub at: DateTime<Utc>,
    /// What would go.
    pub items: Vec<Item>,
    /// Rows of tables that would go.
    pub rows: i64,
    /// About how many bytes of tables and files would go.
    pub bytes: i64,
}

/// Something that would go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Item {
    /// Of which training.
    pub training_id: String,
    /// What of it.
    #[serde(flatten)]
    pub what: What,
    /// Rows of tables.
    pub rows: i64,
    /// About how many bytes of tables and files.
    pub bytes: i64,
}

/// A kind of thing that goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Recorded steps.
    Metrics {
        /// That ended before.
        before: DateTime<Utc>,
    },
    /// A checkpoint.
    Checkpoint {
        /// Which.
        checkpoint_id: String,
        /// Steps that are done in it.
        step: i32,
        /// Whether it is too old; else newer ones and a better one stand in for it.
        expired: bool,
        /// Its directory.
        storage_path: String,
    },
    /// Weak examples of features.
    Activations {
        /// So many of each feature stay.
        keep_top: u32,
        /// None that is weaker stays.
        minimum: f64,
    },
}

#[derive(FromRow)]
struct Counted {
    training_id: String,
    rows: i64,
    bytes: i64,
}

#[derive(FromRow)]
struct Old {
    training_id: String,
    id: String,
    step: i32,
    storage_path: String,
    bytes: i64,
    expired: bool,
}

impl Retention {
    /// What would go now.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub async fn plan(&self) -> Result<Plan, RetentionError> {
        let now = self.log.now().await?;
        self.plan_at(now).await
    }

    /// What would go at a time.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub async fn plan_at(&self, now: DateTime<Utc>) -> Result<Plan, RetentionError> {
        let mut items = self.old_metrics(now).await?;
        items.extend(self.old_checkpoints(now).await?);
        items.extend(self.old_checkpoints_of_images(now).await?);
        items.extend(self.weak_activations().await?);
        Ok(Plan {
            at: now,
            rows: items.iter().map(|item| item.rows).sum(),
            bytes: items.iter().map(|item| item.bytes).sum(),
            items,
        })
    }

    async fn old_metrics(&self, now: DateTime<Utc>) -> Result<Vec<Item>, RetentionError> {
        let before = self.policy.metrics_before(now);
        let found: Vec<Counted> = sqlx::query_as(include_str!("metrics.sql"))
            .bind(before)
            .bind(MOST)
            .fetch_all(self.log.pool())
            .await
            .map_err(RetentionError::ReadModel)?;
        Ok(found
            .into_iter()
            .map(|found| Item {
                training_id: found.training_id,
                what: What::Metrics { before },
                rows: found.rows,
                bytes: found.bytes,
            })
            .collect())
    }

    async fn old_checkpoints(&self, now: DateTime<Utc>) -> Result<Vec<Item>, RetentionError> {
        let found: Vec<Old> = sqlx::query_as(include_str!("checkpoints.sql"))
            .bind(i64::from(self.policy.checkpoints_last))
            .bind(self.policy.checkpoints_before(now))
            .bind(MOST)
            .fetch_all(self.log.pool())
            .await
            .map_err(RetentionError::ReadModel)?;
        Ok(found
            .into_iter()
            .map(|old| Item {
                training_id: old.training_id,
                what: What::Checkpoint {
                    checkpoint_id: old.id,
                    step: old.step,
                    expired: old.expired,
                    storage_path: old.storage_path,
                },
                rows: 1,
                bytes: old.bytes,
            })
            .collect())
    }

    async fn weak_activations(&self) -> Result<Vec<Item>, RetentionError> {
        let (keep_top, minimum) = (self.policy.activations_top, self.policy.activations_minimum);
        let found: Vec<Counted> = sqlx::query_as(include_str!("activations.sql"))
            .bind(i64::from(keep_top))
            .bind(minimum)
            .bind(MOST)
            .fetch_all(self.log.pool())
            .await
            .map_err(RetentionError::ReadModel)?;
        Ok(found
            .into_iter()
            .map(|found| Item {
                training_id: found.training_id,
                what: What::Activations { keep_top, minimum },
                rows: found.rows,
                bytes: found.bytes,
            })
            .collect())
    }
}
