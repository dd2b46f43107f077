//! What the routes share.

use super::{HttpOptions, Problem};
use crate::{
    archive::Archiver,
    commands::Commands,
    log::Log,
    projector::{Projector, ProjectorError},
    queries::Queries,
    retention::Retention,
};
use axum::http::StatusCode;
use sqlx::PgPool;
use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use trainmaster_domain::Position;
use trainmaster_projections::ReadModel;

/// What the routes share. Cheap to clone.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

struct Shared {
    options: HttpOptions,
    log: Log,
    commands: Commands,
    queries: Queries,
    projector: Projector,
    shutdown: CancellationToken,
    requests: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl AppState {
    /// An interface to `log` and to what `projector` makes of it, ending its streams at `shutdown`.
    #[must_use]
    pub fn new(
        options: HttpOptions,
        log: Log,
        projector: Projector,
        shutdown: CancellationToken,
    ) -> Self {
        let pool = log.pool().clone();
        Self(Arc::new(Shared {
            requests: Arc::new(Semaphore::new(options.max_requests)),
            streams: Arc::new(Semaphore::new(options.max_streams)),
            commands: Commands::new(log.clone(), pool.clone())
                .keeping_texts_in(options.datasets_directory.clone())
                .predicting_into(options.predictions_directory.clone())
                .placing_on(options.clusters.names()),
            queries: Queries::new(pool),
            options,
            log,
            projector,
            shutdown,
        }))
    }

    pub(super) fn options(&self) -> &HttpOptions {
        &self.0.options
    }
    pub(super) fn log(&self) -> &Log {
        &self.0.log
    }
    pub(super) fn pool(&self) -> &PgPool {
        self.0.log.pool()
    }
    pub(super) fn commands(&self) -> &Commands {
        &self.0.commands
    }
    pub(super) fn queries(&self) -> &Queries {
        &self.0.queries
    }
    pub(super) fn retention(&self) -> Retention {
        Retention::new(self.0.log.clone(), self.0.options.retention)
    }
    /// None where segments do not leave the database.
    pub(super) fn archiver(&self) -> Option<Archiver> {
        let options = self.0.options.archive.clone()?;
        let owner = self.0.projector.owner().clone();
        Some(Archiver::new(self.0.log.clone(), owner, options))
    }
    pub(super) fn projector(&self) -> &Projector {
        &self.0.projector
    }
    pub(super) fn shutdown(&self) -> &CancellationToken {
        &self.0.shutdown
    }

    pub(super) fn request_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.requests).try_acquire_owned().ok()
    }

    /// A place among the streams that go on at once.
    pub(super) fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.0.streams)
            .try_acquire_owned()
            .map_err(|_| {
                Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too_many_streams",
                    format!(
                        "{} streams are open already; close one, or ask again later",
                        self.0.options.max_streams
                    ),
                )
                .retry_after(5)
            })
    }

    /// Whether reads show `position` before the time is over. Of the read models beside the studio's, one that has stopped is not waited
    /// for: it stops nothing else.
    pub(super) async fn wait_for(&self, position: Position, within: Duration) -> bool {
        let projector = &self.0.projector;
        let waited = projector.read_models().map(|read_model| async move {
            match projector.wait_for(read_model, position, within).await {
                Ok(()) => true,
                Err(ProjectorError::Stopped { .. }) => read_model != ReadModel::MISTUDIO,
                Err(_) => false,
            }
        });
        let shown = futures::future::join_all(waited).await;
        shown.into_iter().all(|shown| shown)
    }

    /// Waits until reads show `position`, when one is asked for.
    pub(super) async fn show_at_least(&self, position: Option<Position>) -> Result<(), Problem> {
        let Some(position) = position else {
            return Ok(());
        };
        // What never happened would be waited for in vain.
        if !self.log().reaches(position).await? {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "invalid_position",
                format!(
                    "the log does not reach {position} yet; give a position that an answer or an event has shown"
                ),
            ));
        }
        if self.wait_for(position, Duration::from_secs(10)).await {
            Ok(())
        } else {
            Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "read_model_behind",
                format!("the read model does not show {position} yet; GET /v1/projections shows how far it is"),
            )
            .retry_after(1))
        }
    }
}
