//! From the end of a job to the event that says so.

use super::{
    figures::{at, sorted, within},
    site::Site,
};
use anyhow::Result;

/// Seconds between two questions.
const POLL: f64 = 5.0;
/// What may come on top: SLURM's own way from the last word of a job to its end, and whole seconds.
const GRACE: f64 = 2.0;

pub async fn measure(jobs: usize) -> Result<bool> {
    let interval = POLL.to_string();
    let site = Site::new(&[("POLL_INTERVAL_SECONDS", &interval)]).await?;
    for round in 0..jobs {
        site.command()?;
        // All over the interval.
        let pause = 0.1 + POLL * ((round * 7) % 11) as f64 / 11.0 / 4.0;
        tokio::time::sleep(std::time::Duration::from_secs_f64(pause)).await;
    }
    site.wait_for("TrainingCompleted", jobs).await?;
    site.wait_for("SlurmJobCompleted", jobs).await?;
    // The last word of the work is the job's last act but for the end of the shell around it.
    let job = delays(&site, "SlurmJobCompleted").await?;
    let run = delays(&site, "TrainingCompleted").await?;
    println!(
        "{jobs} jobs, asked for every {POLL} s      p50        p90        max   (from the job's last word)"
    );
    for (name, values) in [("SlurmJobCompleted", &job), ("TrainingCompleted", &run)] {
        println!(
            "{name:<34}{:>8.2} s {:>8.2} s {:>8.2} s",
            at(values, 0.5),
            at(values, 0.9),
            at(values, 1.0)
        );
    }
    Ok(within(
        "end of a job to its event, p90",
        at(&job, 0.9),
        POLL + GRACE,
        " s",
    ))
}

/// Seconds from the last word of each run to an event of it, or of its job.
async fn delays(site: &Site, event_type: &str) -> Result<Vec<f64>> {
    let rows: Vec<(String, f64)> = sqlx::query_as(
        "SELECT coalesce(submitted.payload -> 'submission' -> 'run' ->> 'id', ended.stream_id),
                extract(epoch FROM ended.recorded_at)::float8
           FROM log.events AS ended
           LEFT JOIN log.events AS submitted
             ON submitted.stream_id = ended.stream_id AND submitted.type = 'SlurmJobSubmitted'
          WHERE ended.type = $1",
    )
    .bind(event_type)
    .fetch_all(site.pool())
    .await?;
    let mut delays = Vec::with_capacity(rows.len());
    for (run, recorded) in rows {
        let journal = site.slurm.lab.run_directory(&run).join("journal.jsonl");
        let text = std::fs::read_to_string(&journal)?;
        let last: serde_json::Value =
            serde_json::from_str(text.lines().last().unwrap_or_default())?;
        let said: f64 =
            sqlx::query_scalar("SELECT extract(epoch FROM $1::text::timestamptz)::float8")
                .bind(last["written_at"].as_str().unwrap_or_default())
                .fetch_one(site.pool())
                .await?;
        delays.push(recorded - said);
    }
    Ok(sorted(delays))
}
