use crate::ApplyError;
use sqlx::PgConnection;
use tracing::warn;
use trainmaster_domain::{RecordedEvent, id::TrainingId, run::journal::Artifact};

/// Notes that a read model lacks the rows of an artifact.
pub(crate) async fn record(
    connection: &mut PgConnection,
    read_model: &'static str,
    recorded: &RecordedEvent,
    training_id: &TrainingId,
    artifact: &Artifact,
    reason: &str,
) -> Result<(), ApplyError> {
    warn!(
        read_model,
        position = %recorded.position,
        event = recorded.event.event_type(),
        artifact = artifact.path,
        reason,
        "GAP: the rows of this artifact are not imported; put the file back and build the read model anew"
    );
    sqlx::query(
        "INSERT INTO projection.gaps (schema_name, transaction_id, sequence, read_model, event, artifact, reason, training_id)
         VALUES (current_schema(), $1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (schema_name, transaction_id, sequence) DO UPDATE SET reason = EXCLUDED.reason",
    )
    .bind(i64::try_from(recorded.position.transaction).unwrap_or(i64::MAX))
    .bind(recorded.position.sequence)
    .bind(read_model)
    .bind(recorded.event.event_type())
    .bind(&artifact.path)
    .bind(reason)
    .bind(training_id.as_str())
    .execute(connection)
    .await
    .map_err(ApplyError::on("projection.gaps"))?;
    Ok(())
}
