//! Runs that another daemon started: found, taken over, looked after.

use super::{
    Origin, Run,
    observation::{Seen, number},
};
use crate::{
    dispatch::{Dispatcher, cluster::SLURM_DEVICE, work},
    log::LogError,
    runner::{Execution, ProcessIdentity, ProcessWatch, RunDirectory},
};
use chrono::{DateTime, Utc};
use sqlx::{Row, postgres::PgRow};
use std::path::Path;
use tracing::{info, warn};
use trainmaster_domain::{Category, Lease, StreamId};

/// Why runs could not be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptionError {
    #[error("runs cannot be read")]
    Database(#[from] sqlx::Error),
    #[error("a run's stream cannot be read")]
    Log(#[from] LogError),
}

impl Dispatcher {
    /// Takes over runs that nobody looks after: those of this state directory at once (no other daemon has it), those of this host when
    /// their daemon has not been heard of, those of other hosts when it has not been heard of for as long as a run may be silent. Answers how many.
    pub(crate) async fn adopt(&self) -> Result<usize, AdoptionError> {
        let rows = sqlx::query(include_str!("adopt.sql"))
            .bind(&self.worker_id)
            .bind(&self.options.host)
            .bind(self.options.state_directory.to_string_lossy())
            .bind(self.options.supervision.heartbeat_limit.as_secs_f64())
            .bind(self.options.supervision.supervised_for.as_secs_f64())
            .fetch_all(self.log.pool())
            .await?;
        let mut adopted = 0;
        for row in rows {
            let Ok(category) = row.try_get::<&str, _>("category")?.parse::<Category>() else {
                continue;
            };
            let stream = StreamId::new(category, row.try_get::<String, _>("id")?);
            let Some(place) = self.runs.enter(&stream) else {
                continue;
            };
            let lease = Lease(row.try_get::<i64, _>("lease")?.cast_unsigned());
            let directory = RunDirectory::new(row.try_get::<String, _>("directory")?);
            let device: String = row.try_get("device")?;
            let local = row.try_get::<&str, _>("host")? == self.options.host;
            let execution = if device.starts_with(SLURM_DEVICE) {
                self.job_of(&stream, lease).await?
            } else if local {
                process(&row, directory.path(), lease)?.map(Execution::Process)
            } else {
                None
            };
            info!(
                %stream, %lease, local,
                execution = execution.as_ref().map(tracing::field::display),
                "a run is taken over"
            );
            let seen = Seen {
                journal_offset: row.try_get::<i64, _>("journal_offset")?.cast_unsigned(),
                journal_seq: row.try_get::<i64, _>("journal_seq")?.cast_unsigned(),
                ..Seen::default()
            };
            self.supervise(Run {
                slot: self.slots.occupy(&device),
                stream,
                lease,
                directory,
                device,
                execution,
                place,
                origin: Origin::Adopted { seen, local },
            });
            adopted += 1;
        }
        Ok(adopted)
    }

    /// The job of a cluster that executes a run; none when it was never intended.
    async fn job_of(&self, stream: &StreamId, lease: Lease) -> Result<Option<Execution>, LogError> {
        let Some(slurm) = &self.slurm else {
            return Ok(None);
        };
        let followed = slurm.of_lease(stream, lease).await?;
        Ok(followed.map(Execution::Slurm))
    }

    /// Finds claims in the log that no row in `dispatch.runs` knows of: their daemon died in the moment between, or the table
    /// was lost. Answers how many of them may still run.
    pub(crate) async fn recover(&self) -> Result<usize, AdoptionError> {
        let rows = sqlx::query(include_str!("recover.sql"))
            .bind(&self.worker_id)
            .bind(&self.options.host)
            .bind(self.options.state_directory.to_string_lossy())
            .bind(self.options.supervision.heartbeat_limit.as_secs_f64())
            .fetch_all(self.log.pool())
            .await?;
        let mut recovered = 0;
        for row in rows {
            let Ok(category) = row.try_get::<&str, _>("category")?.parse::<Category>() else {
                continue;
            };
            let stream = StreamId::new(category, row.try_get::<String, _>("stream_id")?);
            if self.runs.has(&stream) {
                continue;
            }
            let attempts = work::look(&self.log, &stream).await?.attempts;
            let state_directory: Option<String> = row.try_get("state_directory")?;
            let state_directory = state_directory
                .unwrap_or_else(|| self.options.state_directory.to_string_lossy().into_owned());
            let directory = Path::new(&state_directory).join("runs").join(&stream.id);
            let claimed_at: DateTime<Utc> = row.try_get("recorded_at")?;
            let inserted = sqlx::query(
                "INSERT INTO dispatch.runs (category, id, lease, host, state_directory, directory, device,
                                            supervisor, supervised_until, claimed_at, ended_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8, $8, CASE WHEN $9 THEN NULL ELSE now() END)
                     ON CONFLICT (category, id) DO UPDATE
                    SET lease = EXCLUDED.lease, host = EXCLUDED.host, state_directory = EXCLUDED.state_directory,
                        directory = EXCLUDED.directory, device = EXCLUDED.device, pid = NULL, process_started = NULL,
                        journal_offset = CASE WHEN runs.directory = EXCLUDED.directory THEN runs.journal_offset ELSE 0 END,
                        journal_seq = 0, beat = NULL, progress = NULL, request = NULL, requested_at = NULL,
                        supervisor = '', supervised_until = EXCLUDED.supervised_until,
                        claimed_at = EXCLUDED.claimed_at, ended_at = EXCLUDED.ended_at
                  WHERE runs.lease < EXCLUDED.lease",
            )
            .bind(stream.category.as_str())
            .bind(&stream.id)
            .bind(number(attempts.lease.0))
            .bind(attempts.host.as_deref().unwrap_or_default())
            .bind(&state_directory)
            .bind(directory.to_string_lossy())
            .bind(attempts.device.as_deref().unwrap_or("cpu"))
            .bind(claimed_at)
            .bind(attempts.live)
            .execute(self.log.pool())
            .await?;
            if attempts.live && inserted.rows_affected() > 0 {
                warn!(%stream, lease = %attempts.lease, "a claim without a run was found");
                recovered += 1;
            }
        }
        Ok(recovered)
    }
}

/// The process of a run of this host, if it lives.
fn process(
    row: &PgRow,
    directory: &Path,
    lease: Lease,
) -> Result<Option<ProcessWatch>, sqlx::Error> {
    let pid: Option<i32> = row.try_get("pid")?;
    let started: Option<String> = row.try_get("process_started")?;
    let identity = match (pid, started) {
        (Some(pid), Some(started)) => Some(ProcessIdentity { pid, started }),
        _ => ProcessIdentity::find(directory, lease),
    };
    Ok(identity.and_then(ProcessWatch::adopt))
}
