//! A client: asks for what its plan says, asks again under the same key when the answer is lost, and once more after it came.

use super::{
    http::{self, Asked, Outcome},
    known::{Known, Noun},
    ledger::{Attempt, Ledger, Request},
    plan::Step,
    wish,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// After so long without an answer, faults lifted long ago, the daemon has failed its client.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client, or several of them.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) socket: PathBuf,
    pub(super) known: Arc<Known>,
    pub(super) ledger: Arc<Ledger>,
    /// Begins its names for requests.
    pub(super) name: String,
    pub(super) count: Arc<AtomicU64>,
}

impl Client {
    /// Does what the steps say, one after the other.
    pub(super) async fn work(self, steps: Vec<Step>) {
        for mut step in steps {
            tokio::time::sleep(step.pause).await;
            let Some((asked, noun)) = wish::asked(step.wish, &mut step.draw, &self.known) else {
                continue;
            };
            self.perform(asked, noun, &step).await;
        }
    }

    async fn perform(&self, asked: Asked, noun: Option<Noun>, step: &Step) {
        let is_command = asked.method != "GET" && !asked.path.starts_with("/v1/retention");
        let key = (is_command && step.keyed).then(|| format!("{}-{}", self.name, self.next()));
        let mut request = Request {
            asked,
            key,
            attempts: Vec::new(),
        };
        if request.key.is_some() && step.twice {
            let (first, second) = (self.attempt(&request), self.attempt(&request));
            let (first, second) = tokio::join!(first, second);
            request.attempts.extend([first, second]);
        } else {
            request.attempts.push(self.attempt(&request).await);
        }
        if request.key.is_some() {
            self.insist(&mut request).await;
            if step.again {
                request.attempts.push(self.attempt(&request).await);
                self.insist(&mut request).await;
            }
        }
        let accepted = request.verdicts().find(|answer| answer.is_accepted());
        if let (Some(noun), Some(id)) = (noun, accepted.and_then(|a| a.body["id"].as_str())) {
            self.known.add(noun, id);
        }
        if is_command {
            self.ledger.request(request);
        }
    }

    /// Asks until the latest attempt has its answer.
    async fn insist(&self, request: &mut Request) {
        let begun = Instant::now();
        loop {
            let answered = request.attempts.last().is_some_and(
                |attempt| matches!(&attempt.outcome, Outcome::Answered(answer) if answer.is_verdict()),
            );
            if answered {
                return;
            }
            if begun.elapsed() > PATIENCE {
                self.ledger.violation(
                    "every client gets an answer",
                    format!(
                        "none within {} s: {:?}, at last {:?}",
                        PATIENCE.as_secs(),
                        request.asked,
                        request.attempts.last()
                    ),
                );
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            request.attempts.push(self.attempt(request).await);
        }
    }

    async fn attempt(&self, request: &Request) -> Attempt {
        let id = format!("{}-{}", self.name, self.next());
        let outcome = http::ask(&self.socket, &request.asked, &id, request.key.as_deref()).await;
        let Asked { method, path, .. } = &request.asked;
        match &outcome {
            Outcome::Answered(answer) => {
                let code = answer.body["code"].as_str().unwrap_or_default();
                self.ledger
                    .note(format!("{id} {method} {path}: {} {code}", answer.status));
                if answer.status >= 400 && (!answer.is_problem || code.is_empty()) {
                    self.ledger.violation(
                        "every refusal is a problem with a stable code",
                        format!("{method} {path}: {answer:?}"),
                    );
                }
                if answer.status == 400 || code == "invalid_body" {
                    self.ledger.violation(
                        "clients speak the interface's language",
                        format!("{method} {path}: {}", answer.body),
                    );
                }
                if answer.status == 500 {
                    self.ledger.violation(
                        "no fault of the surroundings is an internal error",
                        format!("{id} {method} {path}: {}", answer.body),
                    );
                }
            }
            Outcome::Lost(reason) => {
                self.ledger
                    .note(format!("{id} {method} {path}: lost ({reason})"));
            }
        }
        Attempt { id, outcome }
    }

    fn next(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }
}
