//! Retention: what has grown old goes, as events. A plan says what would go; running it puts one command for each to the training
//! concerned, which may refuse: the plan is made of the read model, and the training knows better.

mod checkpoints_of_images;
mod plan;
mod policy;

pub use plan::{Item, Plan, What};
pub use policy::Policy;

use crate::{
    log::{ExecuteError, Log, LogError},
    queries::QueryError,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use trainmaster_domain::{
    Metadata,
    id::CheckpointId,
    training::{Prune, Training, TrainingCommand, Unneeded},
};
use utoipa::ToSchema;

/// After its start the daemon has other things to do first.
const FIRST_PAUSE: Duration = Duration::from_secs(300);

/// Retention of what is in a log, by a policy.
#[derive(Clone, Debug)]
pub struct Retention {
    log: Log,
    policy: Policy,
}

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// What went.
    pub gone: Vec<Item>,
    /// What was to go and is needed after all, or has gone meanwhile.
    pub kept: Vec<Item>,
}

/// Why retention did not get to its end.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The read model cannot be read.
    #[error("cannot look for what has grown old")]
    ReadModel(#[source] sqlx::Error),
    /// What is not in it cannot be read.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The log does not work.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Retention {
    /// Of what is in `log`, by `policy`.
    #[must_use]
    pub const fn new(log: Log, policy: Policy) -> Self {
        Self { log, policy }
    }

    /// Prunes at intervals, until `shutdown`.
    pub async fn keep_pruning(self, interval: Duration, shutdown: CancellationToken) {
        let mut pause = FIRST_PAUSE.min(interval);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = interval;
            let done = tokio::select! {
                () = shutdown.cancelled() => return,
                done = self.run() => done,
            };
            match done {
                Ok(done) if done.gone.is_empty() => {}
                Ok(done) => info!(items = done.gone.len(), "what had grown old is gone"),
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    warn!(error, "retention waits for its next time");
                }
            }
        }
    }

    /// Lets go what the policy says, now.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub async fn run(&self) -> Result<Done, RetentionError> {
        let now = self.log.now().await?;
        self.run_at(now).await
    }

    /// Lets go what the policy says at a time.
    ///
    /// # Errors
    /// [`RetentionError`].
    pub async fn run_at(&self, now: DateTime<Utc>) -> Result<Done, RetentionError> {
        let mut done = Done::default();
        let correlation_id = format!("retention/{}", ulid::Ulid::generate());
        for item in self.plan_at(now).await?.items {
            let Some(prune) = self.command(&item) else {
                continue;
            };
            let metadata = Metadata {
                command_id: format!("retention/{}", ulid::Ulid::generate()),
                correlation_id: correlation_id.clone(),
                causation_id: None,
                actor: "retention".to_owned(),
                traceparent: crate::telemetry::traceparent(),
            };
            let command = TrainingCommand::Prune(prune);
            let executed = self
                .log
                .execute::<Training>(&item.training_id, command, metadata)
                .await;
            match executed {
                Ok(executed) if !executed.events.is_empty() => done.gone.push(item),
                Ok(_) | Err(ExecuteError::Conflict { .. } | ExecuteError::Barred { .. }) => {
                    done.kept.push(item);
                }
                Err(ExecuteError::Refused(refusal)) => {
                    info!(training = item.training_id, %refusal, "stays");
                    done.kept.push(item);
                }
                Err(ExecuteError::Log(error)) => return Err(error.into()),
            }
        }
        Ok(done)
    }

    fn command(&self, item: &Item) -> Option<Prune> {
        Some(match &item.what {
            What::Metrics { before, .. } => Prune::Metrics { before: *before },
            What::Checkpoint {
                checkpoint_id,
                expired,
                ..
            } => Prune::Checkpoint {
                // It was an id in the log.
                id: CheckpointId::new(checkpoint_id.clone()).ok()?,
                because: if *expired {
                    Unneeded::Expired
                } else {
                    Unneeded::Superseded {
                        keep_last: self.policy.checkpoints_last,
                    }
                },
            },
            What::Activations {
                keep_top, minimum, ..
            } => Prune::Activations {
                keep_top: *keep_top,
                minimum: *minimum,
            },
        })
    }
}
