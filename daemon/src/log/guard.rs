//! What events refer to must not be deleted, and what is needed is not deleted. The log itself says so, not a read model that may be
//! behind, in the transaction of the append.
//!
//! Who refers to a stream and who deletes it take a lock of that stream, shared and exclusive, before they look; so whoever comes second
//! sees what the first has done. Other appends take no lock.

use sqlx::{PgConnection, Postgres, Transaction};
use trainmaster_domain::{Category, Event, StreamId};

/// What stands in the way of an append.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Barrier {
    /// The events refer to what has been deleted.
    #[error("{0} has been deleted")]
    Deleted(StreamId),
    /// What is to be deleted is needed.
    #[error("{stream} is needed by {}", dependents.join(", "))]
    Needed {
        /// What is to be deleted.
        stream: StreamId,
        /// Some of what needs it.
        dependents: Vec<String>,
    },
}

/// What has to be looked at before an append.
pub(super) struct Guard<'a> {
    needs: Vec<StreamId>,
    deletes: Option<&'a StreamId>,
}

impl<'a> Guard<'a> {
    pub(super) fn new(stream: &'a StreamId, mut needs: Vec<StreamId>, events: &[Event]) -> Self {
        // In one order, so that no two wait for each other.
        needs.sort_by(|a, b| (a.category.as_str(), &a.id).cmp(&(b.category.as_str(), &b.id)));
        needs.dedup();
        Self {
            needs,
            deletes: events.iter().any(Event::deletes).then_some(stream),
        }
    }

    pub(super) fn is_needed(&self) -> bool {
        self.deletes.is_some() || !self.needs.is_empty()
    }

    /// Takes the locks, then looks.
    pub(super) async fn check(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<Option<Barrier>, sqlx::Error> {
        for stream in &self.needs {
            lock(
                transaction,
                "SELECT pg_advisory_xact_lock_shared(hashtextextended('deletion of ' || $1, 0))",
                stream,
            )
            .await?;
        }
        if let Some(stream) = self.deletes {
            lock(
                transaction,
                "SELECT pg_advisory_xact_lock(hashtextextended('deletion of ' || $1, 0))",
                stream,
            )
            .await?;
            let dependents: Vec<String> = sqlx::query_scalar(include_str!("guard/dependents.sql"))
                .bind(stream.to_string())
                .fetch_all(&mut **transaction)
                .await?;
            if !dependents.is_empty() {
                return Ok(Some(Barrier::Needed {
                    stream: stream.clone(),
                    dependents,
                }));
            }
        }
        for stream in &self.needs {
            if is_deleted(transaction, stream).await? {
                return Ok(Some(Barrier::Deleted(stream.clone())));
            }
        }
        Ok(None)
    }
}

async fn lock(
    connection: &mut PgConnection,
    sql: &'static str,
    stream: &StreamId,
) -> Result<(), sqlx::Error> {
    sqlx::query(sql)
        .bind(stream.to_string())
        .execute(connection)
        .await?;
    Ok(())
}

async fn is_deleted(connection: &mut PgConnection, stream: &StreamId) -> Result<bool, sqlx::Error> {
    let deleted = match stream.category {
        Category::Dataset => "DatasetDeleted",
        Category::Model => "ModelDeleted",
        Category::Training => "TrainingDeleted",
        _ => return Ok(false),
    };
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM log.events
                         WHERE category = $1 AND stream_id = $2 AND type = $3
                           AND type IN ('DatasetDeleted', 'ModelDeleted', 'TrainingDeleted'))",
    )
    .bind(stream.category.as_str())
    .bind(&stream.id)
    .bind(deleted)
    .fetch_one(connection)
    .await
}
