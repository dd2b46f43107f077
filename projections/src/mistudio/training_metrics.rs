//! `training_metrics` ← MetricsRecorded, a row a step; TrainingStarted removes the rows past the step it goes on from. Ids
//! are counted over every step ever recorded, removed ones too, so that they do not depend on how events were batched.

use crate::{ApplyError, Serials, copy::Rows, fold::Happened, value};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::collections::BTreeMap;
use trainmaster_domain::{run::journal::MetricsBatch, training::TrainingEvent};

const TABLE: &str = "training_metrics";

struct Row<'a> {
    id: i64,
    training_id: &'a str,
    step: i32,
    loss: f64,
    sparsity: Option<f64>,
    reconstruction_error: Option<f64>,
    dead_neurons: Option<i32>,
    explained_variance: Option<f64>,
    learning_rate: Option<f64>,
    timestamp: Option<DateTime<Utc>>,
}

pub(super) async fn apply(
    connection: &mut PgConnection,
    serials: &mut Serials,
    events: &[Happened<'_, TrainingEvent>],
) -> Result<(), ApplyError> {
    let mut new: Vec<Row<'_>> = vec![];
    let mut void_after: BTreeMap<&str, i32> = BTreeMap::new();
    let mut furthest: BTreeMap<&str, i32> = BTreeMap::new();
    for happened in events {
        let id = happened.stream.id.as_str();
        match happened.event {
            TrainingEvent::TrainingStarted(started) => {
                let at_step = value::integer(started.at_step);
                if let Some(step) = furthest.get_mut(id)
                    && *step > at_step
                {
                    new.retain(|row| row.training_id != id || row.step <= at_step);
                    *step = at_step;
                }
                let least = void_after.entry(id).or_insert(at_step);
                *least = at_step.min(*least);
            }
            TrainingEvent::MetricsRecorded(recorded) => {
                let first = serials.reserve(TABLE, recorded.metrics.steps.len());
                new.extend(rows(first, id, &recorded.metrics));
                if let Some(step) = recorded.metrics.steps.iter().max() {
                    let step = value::integer(*step);
                    let furthest = furthest.entry(id).or_insert(step);
                    *furthest = step.max(*furthest);
                }
            }
            _ => {}
        }
    }
    remove(connection, void_after).await?;
    insert(connection, &new).await
}

/// The columns are equally long: the domain accepts no others.
fn rows<'a>(
    first: i64,
    training_id: &'a str,
    metrics: &'a MetricsBatch,
) -> impl Iterator<Item = Row<'a>> {
    let steps = metrics.steps.iter().zip(&metrics.loss).enumerate();
    (first..)
        .zip(steps)
        .map(move |(id, (n, (step, loss)))| Row {
            id,
            training_id,
            step: value::integer(*step),
            loss: *loss,
            sparsity: metrics.sparsity.get(n).copied(),
            reconstruction_error: metrics.reconstruction_error.get(n).copied(),
            dead_neurons: metrics.dead_neurons.get(n).copied().map(value::integer),
            explained_variance: metrics.explained_variance.get(n).copied(),
            learning_rate: metrics.learning_rate.get(n).copied(),
            timestamp: metrics.at.get(n).copied(),
        })
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
        "DELETE FROM training_metrics m
          USING unnest($1::varchar[], $2::integer[]) AS void (training_id, after_step)
          WHERE m.training_id = void.training_id AND m.step > void.after_step",
    )
    .bind(ids)
    .bind(steps)
    .execute(connection)
    .await
    .map_err(ApplyError::on(TABLE))?;
    Ok(())
}

const COLUMNS: &str = "id, training_id, step, loss, sparsity, reconstruction_error, dead_neurons, explained_variance, \
                       learning_rate, timestamp";

/// From so many rows on, COPY is worth the one round trip more that it takes.
const MANY: usize = 500;

async fn insert(connection: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), ApplyError> {
    match rows.len() {
        0 => Ok(()),
        few if few < MANY => insert_few(connection, rows).await,
        _ => copy(connection, rows).await,
    }
}

async fn copy(connection: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), ApplyError> {
    let mut encoded = Rows::new(10);
    for row in rows {
        encoded.begin_row();
        encoded.bigint(row.id);
        encoded.text(Some(row.training_id));
        encoded.integer(Some(row.step));
        encoded.double(Some(row.loss));
        encoded.double(row.sparsity);
        encoded.double(row.reconstruction_error);
        encoded.integer(row.dead_neurons);
        encoded.double(row.explained_variance);
        encoded.double(row.learning_rate);
        encoded.time(row.timestamp);
    }
    encoded
        .copy_to(connection, TABLE, COLUMNS)
        .await
        .map_err(ApplyError::on(TABLE))?;
    Ok(())
}

async fn insert_few(connection: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), ApplyError> {
    fn column<'a, T>(rows: &'a [Row<'a>], of: impl Fn(&Row<'a>) -> T) -> Vec<T> {
        rows.iter().map(of).collect()
    }
    sqlx::query(
        "INSERT INTO training_metrics (
            id, training_id, step, loss, sparsity, reconstruction_error, dead_neurons, explained_variance,
            learning_rate, timestamp)
         SELECT * FROM unnest(
            $1::bigint[], $2::varchar[], $3::integer[], $4::float8[], $5::float8[], $6::float8[], $7::integer[],
            $8::float8[], $9::float8[], $10::timestamptz[])",
    )
    .bind(column(rows, |row| row.id))
    .bind(column(rows, |row| row.training_id))
    .bind(column(rows, |row| row.step))
    .bind(column(rows, |row| row.loss))
    .bind(column(rows, |row| row.sparsity))
    .bind(column(rows, |row| row.reconstruction_error))
    .bind(column(rows, |row| row.dead_neurons))
    .bind(column(rows, |row| row.explained_variance))
    .bind(column(rows, |row| row.learning_rate))
    .bind(column(rows, |row| row.timestamp))
    .execute(connection)
    .await
    .map_err(ApplyError::on(TABLE))?;
    Ok(())
}
