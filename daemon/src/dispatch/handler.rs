//! What the queue's tasks do. Each returns in seconds: runs are looked after elsewhere.

use super::{Dispatcher, start::Cause, work};
use crate::{
    queue::{HandlerError, QueueTask},
    supervisor::request_name,
};
use std::time::Duration;
use trainmaster_domain::{StreamId, Task};

/// A run that was claimed a moment ago may not have been written down yet; it is waited for this often, this long each time.
const PATIENCE: (u32, Duration) = (20, Duration::from_millis(100));

impl Dispatcher {
    /// Handles a task. An error is mended by reconciliation, which is asked for at once.
    pub(super) async fn handle(&self, task: QueueTask) -> Result<(), HandlerError> {
        let handled = self.handle_task(&task).await;
        if handled.is_err() {
            self.reconcile.notify_one();
        }
        handled
    }

    async fn handle_task(&self, task: &QueueTask) -> Result<(), HandlerError> {
        match task.task {
            Task::Dispatch { not_before } => {
                let cause = Cause {
                    correlation_id: task.correlation_id.clone(),
                    causation_id: task.causation_id.clone(),
                    traceparent: task.traceparent.clone(),
                    asked_at: task.recorded_at.filter(|_| not_before.is_none()),
                };
                self.dispatch(&task.stream, &cause).await?;
            }
            Task::Control => self.control(&task.stream).await?,
            Task::Unblock => self.may_start.notify_one(),
        }
        Ok(())
    }

    /// Writes down what is asked of a run, for whoever looks after it; here it is told at once.
    pub(crate) async fn control(&self, stream: &StreamId) -> Result<(), HandlerError> {
        for _ in 0..PATIENCE.0 {
            let state = work::look(&self.log, stream).await?;
            let Some(request) = state.requested.filter(|_| state.attempts.live) else {
                return Ok(());
            };
            let written = sqlx::query(
                "UPDATE dispatch.runs
                    SET requested_at = CASE WHEN request = $4 THEN requested_at ELSE now() END, request = $4
                  WHERE category = $1 AND id = $2 AND lease = $3 AND ended_at IS NULL",
            )
            .bind(stream.category.as_str())
            .bind(&stream.id)
            .bind(i64::try_from(state.attempts.lease.0)?)
            .bind(request_name(request))
            .execute(self.log.pool())
            .await?;
            if written.rows_affected() > 0 {
                self.runs.nudge(stream);
                return Ok(());
            }
            tokio::time::sleep(PATIENCE.1).await;
        }
        Err(format!("the run of {stream} has not been written down; it will be asked later").into())
    }
}
