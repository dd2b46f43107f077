//! Rows that go with a training: its models, their predictions, and what this machine did for any of them.

use super::jobs;
use crate::ApplyError;
use sqlx::PgConnection;
use trainmaster_domain::{Event, RecordedEvent, training::TrainingEvent};

pub(super) const fn removes(recorded: &RecordedEvent) -> bool {
    matches!(
        recorded.event,
        Event::Training(TrainingEvent::TrainingDeleted {})
    )
}

/// Those that refer to others go first.
pub(super) async fn apply(
    connection: &mut PgConnection,
    recorded: &RecordedEvent,
) -> Result<(), ApplyError> {
    let id = recorded.stream.id.as_str();
    let mut local: Vec<String> = sqlx::query_scalar(
        "DELETE FROM inference i USING model m
          WHERE m.id = i.model_id AND m.training_id = $1
         RETURNING i.predict_id",
    )
    .bind(id)
    .fetch_all(&mut *connection)
    .await
    .map_err(ApplyError::on("inference"))?;
    sqlx::query("DELETE FROM model WHERE training_id = $1")
        .bind(id)
        .execute(&mut *connection)
        .await
        .map_err(ApplyError::on("model"))?;
    sqlx::query("DELETE FROM training WHERE id = $1")
        .bind(id)
        .execute(&mut *connection)
        .await
        .map_err(ApplyError::on("training"))?;
    local.push(id.to_owned());
    jobs::remove_local(connection, &local).await
}
