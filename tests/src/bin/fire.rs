//! Puts a lab under fire, for as long as one likes.

use clap::Parser;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use trainmaster_tests::fire::{self, KINDS, Kind, Options};

/// Clients ask a real daemon for whatever they like while its surroundings break; afterwards what was promised must be true.
#[derive(Debug, Parser)]
struct Arguments {
    /// Rounds at most.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// The seed of the first round; each later one has the next number. A round alone: `--seed N --rounds 1`.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No further round is begun after this time: 90s, 20m, 1h.
    #[arg(long, default_value = "1h", value_parser = duration)]
    duration: Duration,
    /// What may break, separated by commas; else everything. `--faults list` lists it.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// The whole log is verified and rebuilt after so many rounds.
    #[arg(long, default_value_t = 5)]
    whole_every: u64,
    /// A fresh lab after so many rounds.
    #[arg(long, default_value_t = 50)]
    fresh_every: u64,
    /// What led to a violation is kept in a file of this directory.
    #[arg(long)]
    save: Option<PathBuf>,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.len() - usize::from(!text.is_empty()));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a number and s, m or h, such as 90s, 20m or 1h".to_owned()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{number:?} is not a whole number"))?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.faults == ["list"] {
        for (_, name) in KINDS {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    let faults: Result<Vec<Kind>, String> =
        arguments.faults.iter().map(|name| name.parse()).collect();
    let faults = match faults {
        Ok(faults) if faults.is_empty() => Options::default().faults,
        Ok(faults) => faults,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let options = Options {
        seed: arguments.seed,
        rounds: arguments.rounds,
        duration: arguments.duration,
        faults,
        whole_every: arguments.whole_every,
        fresh_every: arguments.fresh_every,
        save: arguments.save,
        talk: true,
        ..Options::default()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let report = match runtime {
        Ok(runtime) => {
            let stop = Arc::clone(&options.stop);
            runtime.spawn(async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    eprintln!("ending after this round");
                    stop.store(true, Ordering::Relaxed);
                }
            });
            runtime.block_on(fire::run(&options))
        }
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    ExitCode::from(u8::from(!report.violations.is_empty()))
}
