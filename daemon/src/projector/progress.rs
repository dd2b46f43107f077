//! How far a rebuild or a verification is.

use crate::progress::Progress;
use tokio::sync::watch;

/// Tells whoever wants to know.
#[derive(Debug)]
pub(super) struct Teller<'a>(&'a watch::Sender<Progress>);

impl<'a> Teller<'a> {
    pub(super) fn new(sender: &'a watch::Sender<Progress>) -> Self {
        Self(sender)
    }

    /// Another stage begins, of which so much is done already.
    pub(super) fn begin(&self, unit: &'static str, done: i64, total: i64) {
        let done = done.unsigned_abs();
        self.0.send_replace(Progress {
            done,
            total: total.unsigned_abs().max(done),
            unit,
        });
    }

    /// So much of it is done.
    pub(super) fn at(&self, done: i64) {
        let done = done.unsigned_abs();
        self.0.send_modify(|progress| {
            progress.done = done;
            progress.total = progress.total.max(done);
        });
    }
}
