//! How far a rebuild or a verification is.

use serde::{Deserialize, Serialize};
use std::time::Instant;
use tokio::sync::watch;
use utoipa::ToSchema;

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildStage {
    /// Others are waited for.
    #[default]
    Waiting,
    /// Events become rows.
    Events,
    /// Indexes and foreign keys are made.
    Keys,
    /// Rows are compared with those in use.
    Comparing,
    /// The new tables take the place of those in use.
    Swapping,
}

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BuildProgress {
    /// What is being done.
    pub stage: BuildStage,
    /// So many events, keys or rows are done.
    pub done: i64,
    /// Of about so many.
    pub total: i64,
    /// What is left of this stage at the pace so far; none before that can be told.
    pub seconds_left: Option<f64>,
}

/// Tells whoever wants to know.
#[derive(Debug)]
pub(super) struct Teller<'a> {
    sender: &'a watch::Sender<BuildProgress>,
    began: Instant,
    /// What was done before this process began: an interrupted rebuild goes on.
    before: i64,
}

impl<'a> Teller<'a> {
    pub(super) fn new(sender: &'a watch::Sender<BuildProgress>) -> Self {
        Self {
            sender,
            began: Instant::now(),
            before: 0,
        }
    }

    /// Another stage begins, of which so much is done already.
    pub(super) fn begin(&mut self, stage: BuildStage, done: i64, total: i64) {
        (self.began, self.before) = (Instant::now(), done);
        self.sender.send_replace(BuildProgress {
            stage,
            done,
            total: total.max(done),
            seconds_left: None,
        });
    }

    /// So much of it is done.
    pub(super) fn at(&self, done: i64) {
        let now = done.saturating_sub(self.before);
        let seconds = self.began.elapsed().as_secs_f64();
        self.sender.send_modify(|progress| {
            progress.done = done;
            progress.total = progress.total.max(done);
            let left = progress.total.saturating_sub(done);
            progress.seconds_left = (now > 0).then(|| left as f64 * seconds / now as f64);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_pace_of_this_process_and_not_from_what_was_done_before() {
        let sender = watch::Sender::default();
        let mut teller = Teller::new(&sender);
        teller.begin(BuildStage::Events, 900, 1_000);
        assert_eq!(sender.borrow().seconds_left, None);
        teller.began -= std::time::Duration::from_secs(10);
        teller.at(950);
        let left = sender.borrow().seconds_left.unwrap_or(0.0);
        assert!((9.9..12.0).contains(&left), "{left}");
        teller.at(1_100);
        assert_eq!((sender.borrow().total, sender.borrow().seconds_left), (1_100, Some(0.0)));
    }
}
