//! What was asked, what was answered, and what happened meanwhile: what the log is held against.

use super::http::{Answer, Asked, Outcome};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// A request with all its attempts.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) asked: Asked,
    /// Under which all attempts were made; without one there was a single attempt.
    pub(super) key: Option<String>,
    pub(super) attempts: Vec<Attempt>,
}

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The correlation id of what it set in motion.
    pub(super) id: String,
    pub(super) outcome: Outcome,
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The promise that is broken, in a few words.
    pub what: &'static str,
    /// By what.
    pub details: String,
}

/// All that is known of a round.
#[derive(Debug)]
pub(super) struct Ledger {
    begun: Instant,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    requests: Vec<Request>,
    violations: Vec<Violation>,
    diary: Vec<String>,
}

impl Request {
    /// The answers that say what became of it: accepted or refused.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = &Answer> {
        self.attempts
            .iter()
            .filter_map(|attempt| match &attempt.outcome {
                Outcome::Answered(answer) if answer.is_verdict() => Some(answer),
                _ => None,
            })
    }

    /// Answers that never came.
    pub(super) fn lost(&self) -> usize {
        let lost = |attempt: &&Attempt| matches!(attempt.outcome, Outcome::Lost(_));
        self.attempts.iter().filter(lost).count()
    }
}

impl Answer {
    pub(super) const fn is_accepted(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    /// Not: ask again.
    pub(super) const fn is_verdict(&self) -> bool {
        self.status < 500 && self.status != 408 && self.status != 429
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            pages: Mutex::default(),
        }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn request(&self, request: Request) {
        self.pages().requests.push(request);
    }

    pub(super) fn violation(&self, what: &'static str, details: impl Into<String>) {
        let details = details.into();
        self.note(format!("VIOLATION {what}: {details}"));
        self.pages().violations.push(Violation { what, details });
    }

    /// What happens, as it happens.
    pub(super) fn note(&self, what: impl AsRef<str>) {
        let ms = self.begun.elapsed().as_millis();
        let line = format!("{ms:>6} ms  {}", what.as_ref());
        self.pages().diary.push(line);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.pages().requests.clone()
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        self.pages().violations.clone()
    }

    pub(super) fn diary(&self) -> Vec<String> {
        self.pages().diary.clone()
    }
}
