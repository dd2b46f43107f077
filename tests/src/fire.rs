//! Proof under fire: clients ask a real daemon for whatever they like while its surroundings break, and afterwards everything that was
//! promised must be true.
//!
//! A round is decided by its seed alone: who asks for what, what breaks when, for how long and how much. What is not decided is how the
//! steps of the programs meet these moments, so a seed that fails once need not fail each time; it does the same things each time.

mod arena;
mod client;
mod commands;
mod fault;
mod files;
mod http;
mod inject;
mod keeper;
mod known;
mod ledger;
mod place;
mod plan;
mod proxy;
mod queue;
mod report;
mod round;
mod settle;
mod shim;
mod streams;
mod whole;
mod wish;

pub use fault::{Fault, KINDS, Kind};
pub use ledger::Violation;
pub use report::Report;

use round::Campaign;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What to do to it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of the first round; each later one has the next number.
    pub seed: u64,
    /// So many at most.
    pub rounds: u64,
    /// No further round is begun after this time.
    pub duration: Duration,
    /// What may break.
    pub faults: Vec<Kind>,
    /// The whole log is looked at after so many rounds, and after the last one.
    pub whole_every: u64,
    /// A fresh lab after so many rounds.
    pub fresh_every: u64,
    /// What led to a violation is kept in a file of this directory.
    pub save: Option<PathBuf>,
    /// Set, it makes the round in hand the last one.
    pub stop: Arc<AtomicBool>,
    /// Whether to say what each round does, as it does it.
    pub talk: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            rounds: 10,
            duration: Duration::from_secs(3600),
            faults: KINDS.iter().map(|(kind, _)| *kind).collect(),
            whole_every: 5,
            fresh_every: 50,
            save: None,
            stop: Arc::default(),
            talk: false,
        }
    }
}

/// Runs rounds.
///
/// # Panics
/// When no lab can be had; the message says what is missing.
pub async fn run(options: &Options) -> Report {
    let begun = Instant::now();
    let mut report = Report {
        seed: options.seed,
        ..Report::default()
    };
    let mut campaign: Option<Campaign> = None;
    let mut rounds_here = 0;
    let is_over = || begun.elapsed() >= options.duration || options.stop.load(Ordering::Relaxed);
    while report.rounds < options.rounds && !is_over() {
        let current = match &mut campaign {
            Some(campaign) => campaign,
            None => {
                rounds_here = 0;
                let fresh = Campaign::new().await;
                report.means = fresh.means();
                campaign.insert(fresh)
            }
        };
        let seed = options.seed.wrapping_add(report.rounds);
        report.rounds += 1;
        rounds_here += 1;
        let is_last = report.rounds >= options.rounds || rounds_here >= options.fresh_every;
        let whole = is_last || report.rounds.is_multiple_of(options.whole_every.max(1));
        let is_sound = current
            .round(seed, options, (whole, is_last), &mut report)
            .await;
        // What is broken would be found broken in each round from now on.
        if !is_sound || rounds_here >= options.fresh_every {
            campaign = None;
        }
    }
    report.took = begun.elapsed();
    report
}
