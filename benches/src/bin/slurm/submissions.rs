//! From a command to sbatch having accepted the job, beside a bare sbatch.

use super::{
    figures::{at, sorted, within},
    site::Site,
};
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// What the daemon may add to a bare sbatch.
const LIMIT_RATIO: f64 = 1.2;
/// Before anything counts.
const WARM_UP: usize = 5;

pub async fn measure(rounds: usize, many: usize) -> Result<bool> {
    let site = Site::new(&[("POLL_INTERVAL_SECONDS", "30")]).await?;
    // Nothing that is submitted is started meanwhile.
    site.slurm.fill();
    let (mut ours, mut bare) = (vec![], vec![]);
    let mut script = None;
    for round in 0..rounds + WARM_UP {
        let begun = milliseconds()?;
        let id = site.command()?;
        let accepted = accepted_at(&site, &id).await?;
        let script = match &script {
            Some(script) => script,
            None => script.insert(arguments(&site).await?),
        };
        let theirs = sbatch(&site, script)?;
        if round >= WARM_UP {
            ours.push(accepted - begun);
            bare.push(theirs.as_secs_f64() * 1000.0);
        }
        // Not in step with anything that happens at intervals.
        tokio::time::sleep(Duration::from_millis(20 + (round as u64 * 7) % 23)).await;
    }
    let (ours, bare) = (sorted(ours), sorted(bare));
    println!("one at a time, {rounds} rounds             p50        p90");
    for (name, values) in [("command to accepted", &ours), ("bare sbatch", &bare)] {
        println!(
            "{name:<34}{:>8.2} ms{:>8.2} ms",
            at(values, 0.5),
            at(values, 0.9)
        );
    }
    let ratio = at(&ours, 0.5) / at(&bare, 0.5);
    let one = within("one at a time, times a bare sbatch", ratio, LIMIT_RATIO, "");

    let script = script.context("nothing was submitted")?;
    let begun = Instant::now();
    for _ in 0..many {
        sbatch(&site, &script)?;
    }
    let theirs = begun.elapsed().as_secs_f64();
    let before = rounds + WARM_UP;
    let begun = Instant::now();
    for _ in 0..many {
        site.command()?;
    }
    site.wait_for("SlurmJobSubmitted", before + many).await?;
    let ours = begun.elapsed().as_secs_f64();
    println!(
        "{many} at once: {:.1} a second, {:.1} bare ones one after the other",
        many as f64 / ours,
        many as f64 / theirs
    );
    let all = within(
        "many at once, times bare ones",
        ours / theirs,
        LIMIT_RATIO,
        "",
    );
    Ok(one && all)
}

fn milliseconds() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0)
}

/// When the log says that SLURM has it, in milliseconds since 1970.
async fn accepted_at(site: &Site, run: &str) -> Result<f64> {
    let begun = Instant::now();
    loop {
        let at: Option<f64> = sqlx::query_scalar(
            "SELECT extract(epoch FROM recorded_at)::float8 * 1000
               FROM log.events
              WHERE type = 'SlurmJobSubmitted' AND payload -> 'submission' -> 'run' ->> 'id' = $1",
        )
        .bind(run)
        .fetch_optional(site.pool())
        .await?;
        if let Some(at) = at {
            return Ok(at);
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "{run} was not submitted: {}",
            site.daemon.log()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The words with which the daemon has called sbatch last.
async fn arguments(site: &Site) -> Result<Vec<String>> {
    let calls = site.slurm.cluster.wrappers().calls("sbatch");
    let last = calls.last().context("sbatch was not called")?;
    // None of them has a blank in it.
    let words: Vec<String> = last.split(' ').map(str::to_owned).collect();
    let script = words.last().context("sbatch was called without a script")?;
    ensure!(Path::new(script).is_file(), "{script} is not a file");
    ensure!(!fs::read_to_string(script)?.is_empty(), "{script} is empty");
    Ok(words)
}

/// From the start of the program to its end.
fn sbatch(site: &Site, words: &[String]) -> Result<Duration> {
    let begun = Instant::now();
    let status = Command::new("sbatch")
        .args(words)
        .env("SLURM_CONF", site.slurm.cluster.configuration())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "a bare sbatch failed");
    Ok(begun.elapsed())
}
