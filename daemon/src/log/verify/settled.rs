//! Commands that are noted to have caused nothing. No hash covers these notes; what can be seen is what contradicts the log.

use super::{Fault, Finding, VerifyError, aside::Aside, join::settled_record};
use crate::log::LogError;
use futures::TryStreamExt;
use sqlx::PgConnection;

/// Puts them aside for [`super::join`], and finds an event of one of them.
pub(super) async fn collect(connection: &mut PgConnection) -> Result<Aside, VerifyError> {
    let failed = || LogError::database("verify the settled commands");
    let mut aside = Aside::default();
    let mut rows = sqlx::query_as::<_, (String, String, i64)>(
        "SELECT category, stream_id, version FROM log.settled_commands",
    )
    .fetch(&mut *connection);
    while let Some((category, stream_id, version)) = rows.try_next().await.map_err(failed())? {
        aside
            .push(&settled_record(&category, &stream_id, version))
            .map_err(VerifyError::Aside)?;
    }
    drop(rows);
    // What suits rows that come in their order does not suit this.
    sqlx::raw_sql("SET LOCAL enable_seqscan = on; SET LOCAL enable_sort = on; SET LOCAL enable_bitmapscan = on")
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    let both: Option<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT e.category, e.stream_id, e.version, e.sequence
           FROM log.settled_commands JOIN log.events AS e USING (command_id)
          ORDER BY e.transaction_id, e.sequence LIMIT 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed())?;
    match both {
        None => Ok(aside),
        Some((category, stream_id, version, sequence)) => Err(Finding {
            category,
            stream_id,
            version,
            sequence: Some(sequence),
            fault: Fault::Contradicted,
        }
        .into()),
    }
}
