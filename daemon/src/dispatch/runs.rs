//! The runs that this daemon looks after.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;
use trainmaster_domain::StreamId;

/// Which runs this daemon looks after, or is about to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Arc<Mutex<HashMap<StreamId, Arc<Notify>>>>);

/// A place among them; dropping it leaves.
#[derive(Debug)]
pub(crate) struct Place {
    runs: Runs,
    stream: StreamId,
    nudge: Arc<Notify>,
}

impl Runs {
    /// A place for the run of `stream`; none when there is one already.
    pub(crate) fn enter(&self, stream: &StreamId) -> Option<Place> {
        let mut runs = self.lock();
        if runs.contains_key(stream) {
            return None;
        }
        let nudge = Arc::new(Notify::new());
        runs.insert(stream.clone(), Arc::clone(&nudge));
        Some(Place {
            runs: self.clone(),
            stream: stream.clone(),
            nudge,
        })
    }

    /// Whether there is a run of `stream` here.
    pub(crate) fn has(&self, stream: &StreamId) -> bool {
        self.lock().contains_key(stream)
    }

    /// Makes the supervisor of `stream` look at what is asked of its run.
    pub(crate) fn nudge(&self, stream: &StreamId) {
        if let Some(nudge) = self.lock().get(stream) {
            nudge.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StreamId, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Resolves when the supervisor is nudged.
    pub(crate) fn nudge(&self) -> Arc<Notify> {
        Arc::clone(&self.nudge)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.runs.lock().remove(&self.stream);
    }
}
