//! What is written down of a run, and what the database's clock says about it.

use super::run::Run;
use crate::{dispatch::Dispatcher, runner::ProcessIdentity};
use sqlx::Row;
use std::time::Duration;
use trainmaster_domain::{Lease, StreamId, run::control::Request};

/// What the database says of a run.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    /// Since when there has been no heartbeat.
    pub(crate) silent_for: Duration,
    /// Since when there has been no progress.
    pub(crate) stuck_for: Duration,
    /// What is asked of the run, and for how long.
    pub(crate) request: Option<(Request, Duration)>,
}

/// What has been seen of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) journal_offset: u64,
    pub(crate) journal_seq: u64,
    pub(crate) beat: Option<u64>,
    pub(crate) progress: Option<u64>,
    pub(crate) refused: u64,
}

impl Dispatcher {
    /// Writes down a run that has just been started. Answers how far its journal, which an earlier lease may have begun, has been
    /// read; none when a later lease has been claimed meanwhile.
    pub(super) async fn register(
        &self,
        run: &Run,
        process: Option<&ProcessIdentity>,
        request: Option<Request>,
        supervised_for: Duration,
    ) -> Result<Option<u64>, sqlx::Error> {
        let offset: Option<i64> = sqlx::query_scalar(include_str!("register.sql"))
            .bind(run.stream.category.as_str())
            .bind(&run.stream.id)
            .bind(number(run.lease.0))
            .bind(&self.options.host)
            .bind(self.options.state_directory.to_string_lossy())
            .bind(run.directory.path().to_string_lossy())
            .bind(&run.device)
            .bind(process.map(|process| process.pid))
            .bind(process.map(|process| process.started.as_str()))
            .bind(request.map(request_name))
            .bind(&self.worker_id)
            .bind(supervised_for.as_secs_f64())
            .fetch_optional(self.log.pool())
            .await?;
        Ok(offset.map(i64::cast_unsigned))
    }

    /// Writes down what has been seen, renews the right to look after the run for so long, and answers what the clock says; none when another
    /// daemon looks after it or a later lease has been claimed.
    pub(super) async fn observe(
        &self,
        stream: &StreamId,
        lease: Lease,
        seen: &Seen,
        supervised_for: Duration,
        begins: bool,
    ) -> Result<Option<Observed>, sqlx::Error> {
        let row = sqlx::query(include_str!("observe.sql"))
            .bind(stream.category.as_str())
            .bind(&stream.id)
            .bind(number(lease.0))
            .bind(&self.worker_id)
            .bind(number(seen.journal_offset))
            .bind(number(seen.journal_seq))
            .bind(seen.beat.map(number))
            .bind(seen.progress.map(number))
            .bind(number(seen.refused))
            .bind(supervised_for.as_secs_f64())
            .bind(begins)
            .fetch_optional(self.log.pool())
            .await?;
        row.map(|row| {
            let request: Option<&str> = row.try_get("request")?;
            let requested_for: Option<f64> = row.try_get("requested_for")?;
            Ok(Observed {
                silent_for: seconds(row.try_get("silent_for")?),
                stuck_for: seconds(row.try_get("stuck_for")?),
                request: request
                    .and_then(request_of)
                    .map(|request| (request, seconds(requested_for.unwrap_or_default()))),
            })
        })
        .transpose()
    }

    /// Nothing is left to look after.
    pub(super) async fn close(
        &self,
        stream: &StreamId,
        lease: Lease,
        seen: &Seen,
    ) -> Result<(), sqlx::Error> {
        sqlx::query(
            "UPDATE dispatch.runs
                SET ended_at = now(), journal_offset = $5, journal_seq = $6, refused_reports = refused_reports + $7
              WHERE category = $1 AND id = $2 AND lease = $3 AND supervisor = $4",
        )
        .bind(stream.category.as_str())
        .bind(&stream.id)
        .bind(number(lease.0))
        .bind(&self.worker_id)
        .bind(number(seen.journal_offset))
        .bind(number(seen.journal_seq))
        .bind(number(seen.refused))
        .execute(self.log.pool())
        .await?;
        Ok(())
    }
}

pub(crate) fn request_name(request: Request) -> &'static str {
    match request {
        Request::Pause => "pause",
        Request::Stop => "stop",
    }
}

pub(crate) fn request_of(name: &str) -> Option<Request> {
    match name {
        "pause" => Some(Request::Pause),
        "stop" => Some(Request::Stop),
        _ => None,
    }
}

pub(crate) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value.max(0.0))
}
