//! One round: clients and faults at once, then peace, then the reckoning.

use super::{
    Options, Report,
    arena::Arena,
    client::Client,
    commands, files, inject,
    known::Known,
    ledger::Ledger,
    plan::Plan,
    settle::settle,
    streams::{self, Recorded},
    whole,
};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, atomic::AtomicU64},
};

/// A lab, and what is known of its earlier rounds.
pub(super) struct Campaign {
    arena: Arena,
    known: Arc<Known>,
    /// What earlier rounds have appended ends here.
    position: (i64, i64),
    log_bytes: u64,
    results: BTreeMap<u64, (String, String)>,
    /// Whether a client has given up on a text that it sent.
    orphans: bool,
}

impl Campaign {
    pub(super) async fn new() -> Self {
        let arena = Arena::new().await;
        Self {
            known: Arc::new(Known::of(arena.furniture.clone())),
            arena,
            position: (0, 0),
            log_bytes: 0,
            results: BTreeMap::new(),
            orphans: false,
        }
    }

    /// How faults are brought about here that not every machine lets one bring about.
    pub(super) fn means(&self) -> Vec<&'static str> {
        let disks = match (self.arena.place.has_mounts(), &self.arena.programs) {
            (true, _) => "full and read-only disks: small tmpfs and read-only mounts",
            (false, Some(_)) => {
                "full disks: every write is refused by a library that the programs load first (root could mount small disks); \
                 read-only directories: permissions, unless root"
            }
            (false, None) => "full disks: none (it takes root or a C compiler)",
        };
        let clocks = match &self.arena.programs {
            Some(_) => "clocks, slow fsync: a library that the programs load first",
            None => "clocks, slow fsync: none (there is no C compiler)",
        };
        vec![disks, clocks]
    }

    /// Whether nothing was found to be wrong.
    pub(super) async fn round(
        &mut self,
        seed: u64,
        options: &Options,
        (whole, is_last): (bool, bool),
        report: &mut Report,
    ) -> bool {
        let ledger = Arc::new(Ledger::new());
        let plan = Plan::of(seed, &options.faults);
        self.trouble(seed, &plan, &ledger, report).await;
        ledger.note("all clients have their answers");
        match settle(&self.arena).await {
            Ok(took) => {
                ledger.note("settled");
                report.settled.push(took);
            }
            Err(left) => ledger.violation("everything that was queued ends", left.join("; ")),
        }
        if let Err(error) = self.reckon(&ledger, (whole, is_last), report).await {
            ledger.violation(
                "the database works when it is left alone",
                error.to_string(),
            );
        }
        self.conclude(seed, options, &plan, &ledger, report)
    }

    /// Clients and faults.
    async fn trouble(&self, seed: u64, plan: &Plan, ledger: &Arc<Ledger>, report: &mut Report) {
        let mut clients = tokio::task::JoinSet::new();
        for (index, steps) in plan.clients.iter().enumerate() {
            let client = Client {
                socket: self.arena.socket(),
                known: Arc::clone(&self.known),
                ledger: Arc::clone(ledger),
                name: format!("s{seed}c{index}"),
                count: Arc::new(AtomicU64::new(0)),
            };
            clients.spawn(client.work(steps.clone()));
        }
        let faults = plan
            .faults
            .iter()
            .map(|fault| inject::inject(&self.arena, *fault, ledger));
        let faults = async {
            let met = join_all(faults).await;
            for (fault, met) in plan.faults.iter().zip(met) {
                let counts = if met {
                    &mut report.faults
                } else {
                    &mut report.missed
                };
                *counts.entry(fault.kind).or_default() += 1;
            }
            // Some clients still wait for their answers.
            inject::lift_all(&self.arena).await;
            ledger.note("all faults are lifted");
        };
        let clients = async {
            while let Some(client) = clients.join_next().await {
                client.expect("a client");
            }
        };
        tokio::join!(faults, clients);
    }

    async fn reckon(
        &mut self,
        ledger: &Ledger,
        (whole, is_last): (bool, bool),
        report: &mut Report,
    ) -> Result<(), sqlx::Error> {
        let pool = self.arena.lab.pool();
        let events = streams::touched_since(pool, self.position).await?;
        let new: Vec<Recorded> = events
            .iter()
            .filter(|event| event.position > self.position)
            .cloned()
            .collect();
        let requests = ledger.requests();
        count(&requests, &new, report);
        streams::check(&events, ledger);
        commands::check(&requests, &new, ledger);
        whole::check_metrics(&self.arena, ledger).await?;
        whole::check_results(&self.arena, &mut self.results, ledger).await?;
        self.orphans |= requests.iter().any(|request| {
            request.asked.path == "/v1/datasets" && request.verdicts().next().is_none()
        });
        files::check(&self.arena, self.orphans, ledger).await;
        report.memory_kb = report
            .memory_kb
            .max(files::daemon_memory(&self.arena, ledger));
        report.ends += self.arena.keeper.ends().len() as u64;
        if whole {
            whole::check(&self.arena, ledger).await?;
        }
        if is_last {
            whole::check_queue(&self.arena, ledger).await?;
        }
        let last = new.iter().map(|event| event.position).max();
        self.position = last.unwrap_or(self.position);
        Ok(())
    }

    fn conclude(
        &mut self,
        seed: u64,
        options: &Options,
        plan: &Plan,
        ledger: &Ledger,
        report: &mut Report,
    ) -> bool {
        let (said, bytes) = files::said_since(&self.arena.daemon_log(), self.log_bytes);
        self.log_bytes = bytes;
        for line in said.lines() {
            if line.contains("panicked at") {
                ledger.violation("the daemon never panics", line);
            }
            // What a Rust program exits with that has panicked.
            if line.contains("exited with status 101") {
                ledger.violation("a trainer never panics", line);
            }
        }
        let violations = ledger.violations();
        if options.talk || !violations.is_empty() {
            let faults: Vec<String> = plan.faults.iter().map(ToString::to_string).collect();
            eprintln!(
                "round {}, seed {seed}: {}",
                report.rounds,
                faults.join(", ")
            );
        }
        if violations.is_empty() {
            return true;
        }
        let mut story = format!("seed {seed}\n{plan:#?}\n\n");
        for violation in &violations {
            eprintln!("  VIOLATION {}: {}", violation.what, violation.details);
            let _ = writeln!(story, "VIOLATION {}: {}", violation.what, violation.details);
        }
        for line in ledger.diary() {
            eprintln!("  {line}");
            let _ = writeln!(story, "{line}");
        }
        let _ = writeln!(story, "\nthe daemon says:\n{said}");
        if let Some(directory) = &options.save {
            let saved = std::fs::create_dir_all(directory)
                .and_then(|()| std::fs::write(directory.join(format!("{seed}.txt")), story));
            if let Err(error) = saved {
                eprintln!("cannot save into {}: {error}", directory.display());
            }
        }
        let violations = violations.into_iter().map(|violation| (seed, violation));
        report.violations.extend(violations);
        false
    }
}

fn count(requests: &[super::ledger::Request], new: &[Recorded], report: &mut Report) {
    report.commands += requests.len() as u64;
    for request in requests {
        report.accepted += u64::from(request.verdicts().any(super::http::Answer::is_accepted));
        report.attempts += request.attempts.len() as u64;
        report.lost += request.lost() as u64;
    }
    report.events += new.len() as u64;
    let ending = |end: &str| new.iter().filter(|e| e.event_type.ends_with(end)).count() as u64;
    report.claims += ending("Claimed");
    report.losses += ending("LeaseExpired");
}

/// All at once, in one task.
async fn join_all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut is_ready = true;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_ready = false,
                }
            }
        }
        if is_ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
