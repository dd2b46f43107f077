//! What came of all rounds.

use super::{fault::Kind, ledger::Violation};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt, time::Duration};

/// What came of all rounds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rounds that were begun.
    pub rounds: u64,
    /// The seed of the first round; each later one has the next number.
    pub seed: u64,
    /// Faults that met something, by kind.
    pub faults: BTreeMap<Kind, u64>,
    /// Faults that could not be had, or met nothing: no trainer lived, no task waited.
    pub missed: BTreeMap<Kind, u64>,
    /// Commands that clients gave, and those that were accepted.
    pub commands: u64,
    /// Those of them that were accepted.
    pub accepted: u64,
    /// Attempts at commands: repetitions count.
    pub attempts: u64,
    /// Answers that never came.
    pub lost: u64,
    /// Times that a run was begun, and how often one lost its lease.
    pub claims: u64,
    /// How often a run lost its lease.
    pub losses: u64,
    /// Events that were appended.
    pub events: u64,
    /// Times that the daemon ended without having been told to, and was started again.
    pub ends: u64,
    /// The most memory of the daemon that was seen at the end of a round, in kB.
    pub memory_kb: u64,
    /// How long it took from the lifting of all faults until nothing was left to be done.
    pub settled: Vec<Duration>,
    /// How long it all took.
    pub took: Duration,
    /// How faults were brought about that not every machine lets one bring about.
    pub means: Vec<&'static str>,
    /// With the seed of their round.
    pub violations: Vec<(u64, Violation)>,
}

impl Report {
    /// A percentile of the times until all was settled.
    #[must_use]
    pub fn settled_within(&self, percent: usize) -> Duration {
        let mut times = self.settled.clone();
        times.sort_unstable();
        let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
        times.get(index).copied().unwrap_or_default()
    }

    /// The same for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let by_name = |kinds: &BTreeMap<Kind, u64>| -> BTreeMap<String, u64> {
            kinds
                .iter()
                .map(|(kind, count)| (kind.to_string(), *count))
                .collect()
        };
        let violations: Vec<Value> = self
            .violations
            .iter()
            .map(|(seed, v)| json!({ "seed": seed, "what": v.what, "details": v.details }))
            .collect();
        json!({
            "rounds": self.rounds,
            "seed": self.seed,
            "seconds": self.took.as_secs_f64(),
            "faults": by_name(&self.faults),
            "missed": by_name(&self.missed),
            "commands": self.commands,
            "accepted": self.accepted,
            "attempts": self.attempts,
            "lost_answers": self.lost,
            "claims": self.claims,
            "lost_leases": self.losses,
            "events": self.events,
            "daemon_ends": self.ends,
            "daemon_memory_kb": self.memory_kb,
            "settled_ms": {
                "p50": self.settled_within(50).as_millis() as u64,
                "p90": self.settled_within(90).as_millis() as u64,
                "p99": self.settled_within(99).as_millis() as u64,
                "max": self.settled_within(100).as_millis() as u64,
            },
            "means": self.means,
            "violations": violations,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: u64 = self.faults.values().sum();
        writeln!(
            f,
            "{} rounds from seed {} in {:.0} s, {faults} faults",
            self.rounds,
            self.seed,
            self.took.as_secs_f64()
        )?;
        let kinds = self.faults.keys().chain(self.missed.keys());
        let kinds: std::collections::BTreeSet<&Kind> = kinds.collect();
        for kind in kinds {
            let count = |kinds: &BTreeMap<Kind, u64>| kinds.get(kind).copied().unwrap_or(0);
            let (met, missed) = (count(&self.faults), count(&self.missed));
            writeln!(
                f,
                "  {:<18}{met:>6}  ({missed} met nothing)",
                kind.to_string()
            )?;
        }
        for (what, count) in [
            ("commands", self.commands),
            ("  accepted", self.accepted),
            ("  attempts", self.attempts),
            ("  answers lost", self.lost),
            ("runs begun", self.claims),
            ("leases lost", self.losses),
            ("events", self.events),
            ("daemon ended itself", self.ends),
            ("daemon memory, kB", self.memory_kb),
        ] {
            writeln!(f, "{what:<20}{count:>6}")?;
        }
        let ms = |percent| self.settled_within(percent).as_millis();
        writeln!(
            f,
            "settled, ms         p50 {}  p90 {}  p99 {}  max {}",
            ms(50),
            ms(90),
            ms(99),
            ms(100)
        )?;
        for means in &self.means {
            writeln!(f, "means: {means}")?;
        }
        writeln!(f, "violations          {:>6}", self.violations.len())?;
        for (seed, violation) in &self.violations {
            let details: String = violation.details.chars().take(300).collect();
            writeln!(f, "  seed {seed}: {}: {details}", violation.what)?;
        }
        Ok(())
    }
}
