//! Rows that go. Foreign keys say what goes with them (CASCADE), and what only forgets them (SET NULL); RESTRICT was seen to before the
//! event was appended.

use crate::ApplyError;
use sqlx::PgConnection;
use trainmaster_domain::{
    Event, RecordedEvent, extraction_template::ExtractionTemplateEvent, preset::PresetEvent,
    training_template::TrainingTemplateEvent,
};

/// Whether an event removes rows.
pub(super) fn removes(event: &Event) -> bool {
    matches!(
        event,
        Event::TrainingTemplate(TrainingTemplateEvent::TrainingTemplateDeleted {})
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
    match &recorded.event {
        Event::TrainingTemplate(_) => {
            let sql = "DELETE FROM training_templates WHERE id = $1";
            run(connection, "training_templates", sql, id).await
        }
        Event::ExtractionTemplate(_) => {
            let sql = "DELETE FROM extraction_templates WHERE id = $1";
            run(connection, "extraction_templates", sql, id).await
        }
        Event::Preset(_) => {
            let sql = "DELETE FROM steering_presets WHERE id = $1";
            run(connection, "steering_presets", sql, id).await
        }
        _ => Ok(()),
    }
}

async fn run(
    connection: &mut PgConnection,
    table: &'static str,
    sql: &'static str,
    id: &str,
) -> Result<(), ApplyError> {
    sqlx::query(sql)
        .bind(id)
        .execute(connection)
        .await
        .map_err(ApplyError::on(table))?;
    Ok(())
}
