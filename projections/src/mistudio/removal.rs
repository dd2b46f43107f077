//! Rows that go. Foreign keys say what goes with them (CASCADE), and what only forgets them (SET NULL); RESTRICT was seen to before the
//! event was appended.

use crate::ApplyError;
use sqlx::{AssertSqlSafe, PgConnection};
use trainmaster_domain::{
    Event, RecordedEvent,
    dataset::DatasetEvent,
    extraction_template::ExtractionTemplateEvent,
    job::FEATURES_PER_PARTITION,
    model::ModelEvent,
    preset::PresetEvent,
    training::{ActivationsPruned, TrainingEvent},
    training_template::TrainingTemplateEvent,
};

/// Whether an event removes rows.
pub(super) fn removes(event: &Event) -> bool {
    matches!(
        event,
        Event::Dataset(DatasetEvent::DatasetDeleted {})
            | Event::Model(ModelEvent::ModelDeleted {})
            | Event::Training(
                TrainingEvent::TrainingDeleted {}
                    | TrainingEvent::MetricsPruned(_)
                    | TrainingEvent::CheckpointPruned(_)
                    | TrainingEvent::ActivationsPruned(_)
            )
            | Event::TrainingTemplate(TrainingTemplateEvent::TrainingTemplateDeleted {})
            | Event::ExtractionTemplate(ExtractionTemplateEvent::ExtractionTemplateDeleted {})
            | Event::Preset(PresetEvent::PresetDeleted {})
    )
}

/// Removes what an event removes.
pub(super) async fn apply(
    connection: &mut PgConnection,
    recorded: &RecordedEvent,
) -> Result<(), ApplyError> {
    let id = recorded.stream.id.as_str();
    let (table, sql) = match &recorded.event {
        Event::Dataset(_) => ("datasets", "DELETE FROM datasets WHERE id = $1"),
        Event::Model(_) => ("models", "DELETE FROM models WHERE id = $1"),
        Event::TrainingTemplate(_) => (
            "training_templates",
            "DELETE FROM training_templates WHERE id = $1",
        ),
        Event::ExtractionTemplate(_) => (
            "extraction_templates",
            "DELETE FROM extraction_templates WHERE id = $1",
        ),
        Event::Preset(_) => (
            "steering_presets",
            "DELETE FROM steering_presets WHERE id = $1",
        ),
        Event::Training(event) => {
            of_training(connection, id, event).await?;
            if !matches!(event, TrainingEvent::TrainingDeleted {}) {
                touch(connection, id, recorded).await?;
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    sqlx::query(sql)
        .bind(id)
        .execute(connection)
        .await
        .map_err(ApplyError::on(table))?;
    Ok(())
}

async fn of_training(
    connection: &mut PgConnection,
    id: &str,
    event: &TrainingEvent,
) -> Result<(), ApplyError> {
    match event {
        TrainingEvent::TrainingDeleted {} => {
            empty_partitions(connection, id).await?;
            sqlx::query(
                "DELETE FROM projection.feature_words
                  WHERE schema_name = current_schema()
                    AND feature_id IN (SELECT id FROM features WHERE training_id = $1)",
            )
            .bind(id)
            .execute(&mut *connection)
            .await
            .map_err(ApplyError::on("projection.feature_words"))?;
            // While they are built anew, the foreign key that would take them along is not there.
            sqlx::query("DELETE FROM training_metrics WHERE training_id = $1")
                .bind(id)
                .execute(&mut *connection)
                .await
                .map_err(ApplyError::on("training_metrics"))?;
            sqlx::query("DELETE FROM trainings WHERE id = $1")
                .bind(id)
                .execute(connection)
                .await
                .map_err(ApplyError::on("trainings"))?;
        }
        TrainingEvent::MetricsPruned(pruned) => {
            sqlx::query("DELETE FROM training_metrics WHERE training_id = $1 AND timestamp < $2")
                .bind(id)
                .bind(pruned.before)
                .execute(connection)
                .await
                .map_err(ApplyError::on("training_metrics"))?;
        }
        TrainingEvent::CheckpointPruned(pruned) => {
            sqlx::query("DELETE FROM checkpoints WHERE id = $1")
                .bind(pruned.checkpoint_id.as_str())
                .execute(connection)
                .await
                .map_err(ApplyError::on("checkpoints"))?;
        }
        TrainingEvent::ActivationsPruned(pruned) => prune(connection, id, *pruned).await?,
        _ => {}
    }
    Ok(())
}

async fn touch(
    connection: &mut PgConnection,
    id: &str,
    recorded: &RecordedEvent,
) -> Result<(), ApplyError> {
    sqlx::query("UPDATE trainings SET updated_at = $2 WHERE id = $1")
        .bind(id)
        .bind(recorded.recorded_at)
        .execute(connection)
        .await
        .map_err(ApplyError::on("trainings"))?;
    Ok(())
}

/// A partition holds the features of one training only, so that its examples, a million perhaps, go at once.
async fn empty_partitions(connection: &mut PgConnection, id: &str) -> Result<(), ApplyError> {
    let partitions: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT partition.oid::regclass::text
           FROM features
           JOIN pg_class partition
             ON partition.relname = 'feature_activations_' || to_char(features.id / $2 * $2, 'FM99999999999900000')
            AND partition.relnamespace = current_schema()::regnamespace
          WHERE features.training_id = $1
          ORDER BY 1",
    )
    .bind(id)
    .bind(FEATURES_PER_PARTITION)
    .fetch_all(&mut *connection)
    .await
    .map_err(ApplyError::on("feature_activations"))?;
    if partitions.is_empty() {
        return Ok(());
    }
    // Readers are waited for as long as when partitions are put in place; then the event is tried again. The names are Postgres' own,
    // quoted by it.
    sqlx::raw_sql(AssertSqlSafe(format!(
        "SET LOCAL lock_timeout = '2s'; TRUNCATE {}; SET LOCAL lock_timeout TO DEFAULT",
        partitions.join(", ")
    )))
    .execute(connection)
    .await
    .map_err(ApplyError::on("feature_activations"))?;
    Ok(())
}

async fn prune(
    connection: &mut PgConnection,
    id: &str,
    pruned: ActivationsPruned,
) -> Result<(), ApplyError> {
    sqlx::query(
        "DELETE FROM feature_activations a
          USING (SELECT a.id, a.feature_id, a.max_activation,
                        row_number() OVER (PARTITION BY a.feature_id ORDER BY a.max_activation DESC, a.id) AS rank
                   FROM feature_activations a
                   JOIN features f ON f.id = a.feature_id
                  WHERE f.training_id = $1) AS ranked
          WHERE a.id = ranked.id AND a.feature_id = ranked.feature_id
            AND (ranked.rank > $2 OR ranked.max_activation < $3)",
    )
    .bind(id)
    .bind(i64::from(pruned.keep_top))
    .bind(pruned.minimum)
    .execute(connection)
    .await
    .map_err(ApplyError::on("feature_activations"))?;
    Ok(())
}
