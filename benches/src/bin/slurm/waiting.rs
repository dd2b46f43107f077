//! What the daemon costs while many jobs wait in SLURM's queue.

use super::{figures::within, site::Site};
use anyhow::{Context, Result};
use std::{fs, path::PathBuf, time::Duration};

/// Percent of a core, with the programs of SLURM that it calls.
const LIMIT_PERCENT: f64 = 2.0;
/// From the last submission to the measurement: what submitting left to do is done by then.
const SETTLE: Duration = Duration::from_secs(15);
/// The resolution of /proc/<pid>/stat.
const TICKS_A_SECOND: f64 = 100.0;

pub async fn measure(pending: usize, seconds: u64) -> Result<bool> {
    // The interval as it is when nobody sets it.
    let site = Site::new(&[("POLL_INTERVAL_SECONDS", "30"), ("MOST_JOBS", "100000")]).await?;
    site.slurm.fill();
    for _ in 0..pending {
        site.command()?;
    }
    site.wait_for("SlurmJobSubmitted", pending).await?;
    tokio::time::sleep(SETTLE).await;
    let asked = site.slurm.cluster.wrappers().calls("squeue").len();
    let (own, children) = used(site.daemon.pid())?;
    let begun = std::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (own_after, children_after) = used(site.daemon.pid())?;
    let percent = |from: f64, to: f64| (to - from) / begun.elapsed().as_secs_f64() * 100.0;
    let asked = site.slurm.cluster.wrappers().calls("squeue").len() - asked;
    println!(
        "{pending} pending jobs, {asked} questions in {seconds} s: the daemon {:.2} % of a core, what it calls {:.2} %",
        percent(own, own_after),
        percent(children, children_after)
    );
    Ok(within(
        "daemon and what it calls",
        percent(own + children, own_after + children_after),
        LIMIT_PERCENT,
        " % of a core",
    ))
}

/// Processor seconds of a process, and of its children that have ended.
fn used(pid: u32) -> Result<(f64, f64)> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let stat = fs::read_to_string(process.join("stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let fields: Vec<f64> = fields
        .split_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // The fields 16 and 17 of proc(5); what is left of the name are two.
    let children = (fields[13] + fields[14]) / TICKS_A_SECOND;
    // Of the threads, in nanoseconds: hundredths of a second are too coarse for an idle minute.
    let own: f64 = fs::read_dir(process.join("task"))?
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|text| text.split_whitespace().next()?.parse::<f64>().ok())
        .sum();
    Ok((own / 1e9, children))
}
