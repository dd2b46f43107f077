//! `checkpoints` ← CheckpointSaved. A training goes on from its latest checkpoint; were there one past the step that it goes
//! on from, it would be void as the metrics are.

use crate::{ApplyError, fold::Happened, value};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use trainmaster_domain::training::{CheckpointSaved, TrainingEvent};

const TABLE: &str = "checkpoints";

struct Row<'a> {
    training_id: &'a str,
    step: i32,
    saved: &'a CheckpointSaved,
    at: DateTime<Utc>,
}

pub(super) async fn apply(
    connection: &mut PgConnection,
    events: &[Happened<'_, TrainingEvent>],
) -> Result<(), ApplyError> {
    let mut new: Vec<Row<'_>> = vec![];
    let mut void_after: BTreeMap<&str, i32> = BTreeMap::new();
    for happened in events {
        let training_id = happened.stream.id.as_str();
        match happened.event {
            TrainingEvent::TrainingStarted(started) => {
                let at_step = value::integer(started.at_step);
                new.retain(|row| row.training_id != training_id || row.step <= at_step);
                let least = void_after.entry(training_id).or_insert(at_step);
                *least = at_step.min(*least);
            }
            TrainingEvent::CheckpointSaved(saved) => new.push(Row {
                training_id,
                step: value::integer(saved.step),
                saved,
                at: happened.at,
            }),
            _ => {}
        }
    }
    remove(connection, void_after).await?;
    insert(connection, &new).await
}

async fn remove(
    connection: &mut PgConnection,
    void_after: BTreeMap<&str, i32>,
) -> Result<(), ApplyError> {
    if void_after.is_empty() {
        return Ok(());
    }
    let (ids, steps): (Vec<&str>, Vec<i32>) = void_after.into_iter().unzip();
    sqlx::query(
        "DELETE FROM checkpoints c
          USING unnest($1::varchar[], $2::integer[]) AS void (training_id, after_step)
          WHERE c.training_id = void.training_id AND c.step > void.after_step",
    )
    .bind(ids)
    .bind(steps)
    .execute(connection)
    .await
    .map_err(ApplyError::on(TABLE))?;
    Ok(())
}

async fn insert(connection: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), ApplyError> {
    if rows.is_empty() {
        return Ok(());
    }
    fn column<'a, T>(rows: &'a [Row<'a>], of: impl Fn(&Row<'a>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    sqlx::query(
        "INSERT INTO checkpoints (id, training_id, step, loss, sparsity, storage_path, file_size_bytes, created_at)
         SELECT * FROM unnest(
            $1::varchar[], $2::varchar[], $3::integer[], $4::float8[], $5::float8[], $6::varchar[], $7::bigint[],
            $8::timestamptz[])",
    )
    .bind(column(rows, |row| row.saved.checkpoint_id.as_str()))
    .bind(column(rows, |row| row.training_id))
    .bind(column(rows, |row| row.step))
    .bind(column(rows, |row| row.saved.loss))
    .bind(column(rows, |row| row.saved.sparsity))
    .bind(column(rows, |row| value::text(&row.saved.storage_path, 1000)))
    .bind(column(rows, |row| row.saved.file_size_bytes))
    .bind(column(rows, |row| row.at))
    .execute(connection)
    .await
    .map_err(ApplyError::on(TABLE))?;
    Ok(())
}
