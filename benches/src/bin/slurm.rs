//! What it costs to have SLURM run the runs, on a private cluster of four nodes on this host:
//!
//! 1. from a command to sbatch having accepted the job, beside a bare sbatch of the same script: one at a time, and many at once;
//! 2. from the end of a job to the event that says so, given the poll interval;
//! 3. the daemon's processor time with 1,000 pending jobs.
//!
//! `--rounds N`, `--many N`, `--pending N` and `--seconds N` make it shorter or longer.

#[path = "slurm/ends.rs"]
mod ends;
#[path = "slurm/figures.rs"]
mod figures;
#[path = "slurm/site.rs"]
mod site;
#[path = "slurm/submissions.rs"]
mod submissions;
#[path = "slurm/waiting.rs"]
mod waiting;

use anyhow::{Context, Result, ensure};
use std::process::ExitCode;

/// How much of everything.
struct Sizes {
    rounds: usize,
    many: usize,
    pending: usize,
    seconds: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match measure().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

async fn measure() -> Result<bool> {
    let sizes = sizes()?;
    let mut are_within = vec![submissions::measure(sizes.rounds, sizes.many).await?];
    are_within.push(ends::measure(sizes.rounds.min(40)).await?);
    are_within.push(waiting::measure(sizes.pending, sizes.seconds).await?);
    Ok(are_within.iter().all(|is_within| *is_within))
}

fn sizes() -> Result<Sizes> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes = Sizes {
        rounds: 100,
        many: 200,
        pending: 1_000,
        seconds: 60,
    };
    for pair in arguments.chunks(2) {
        let [name, value] = pair else {
            anyhow::bail!("{} needs a number", pair[0]);
        };
        let number: usize = value
            .parse()
            .with_context(|| format!("{name} needs a number"))?;
        ensure!(number > 0, "{name} needs a number above 0");
        match &**name {
            "--rounds" => sizes.rounds = number,
            "--many" => sizes.many = number,
            "--pending" => sizes.pending = number,
            "--seconds" => sizes.seconds = number as u64,
            _ => anyhow::bail!("{name}: --rounds, --many, --pending and --seconds are known"),
        }
    }
    Ok(sizes)
}
