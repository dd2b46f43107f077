//! A cross-validation becomes as many trainings as it has folds. Done twice, it changes nothing: the command ids are made of group and index.

use super::{Dispatcher, start::Cause};
use crate::log::{ExecuteError, LogError};
use tracing::{info, warn};
use trainmaster_domain::{
    Metadata, StreamId,
    cross_validation::{CrossValidation, CrossValidationCommand},
    id::CrossValidationId,
    training::{Training, TrainingCommand},
};

impl Dispatcher {
    /// Queues the folds of a cross-validation that has none yet.
    pub(super) async fn queue_folds(
        &self,
        stream: &StreamId,
        cause: &Cause,
    ) -> Result<(), LogError> {
        let validation = self.log.load::<CrossValidation>(&stream.id).await?.state;
        if validation.queued().is_none() || validation.has_folds() {
            return Ok(());
        }
        let folds = CrossValidationId::new(stream.id.as_str()).and_then(|id| validation.folds(&id));
        let folds = match folds {
            Ok(folds) => folds,
            Err(error) => {
                warn!(%stream, %error, "a cross-validation cannot have folds");
                return Ok(());
            }
        };
        let metadata = |command_id: String| Metadata {
            command_id,
            correlation_id: cause.correlation_id.clone(),
            causation_id: cause.causation_id.clone(),
            actor: "dispatcher".to_owned(),
            traceparent: crate::telemetry::traceparent().or_else(|| cause.traceparent.clone()),
        };
        let count = folds.len();
        for (n, (id, queue)) in folds.into_iter().enumerate() {
            let command = TrainingCommand::QueueSegmentation(Box::new(queue));
            let queued = self
                .log
                .execute::<Training>(
                    id.as_str(),
                    command,
                    metadata(format!("fold/{}/{n}", stream.id)),
                )
                .await;
            match queued {
                Ok(_) => {}
                Err(ExecuteError::Log(error)) => return Err(error),
                Err(error) => warn!(%stream, %error, "a fold cannot be queued"),
            }
        }
        let noted = self
            .log
            .execute::<CrossValidation>(
                &stream.id,
                CrossValidationCommand::NoteFolds,
                metadata(format!("folds/{}", stream.id)),
            )
            .await;
        match noted {
            Ok(_) => info!(%stream, folds = count, "the folds of a cross-validation are queued"),
            Err(ExecuteError::Log(error)) => return Err(error),
            Err(error) => warn!(%stream, %error, "a cross-validation cannot go on"),
        }
        Ok(())
    }
}
