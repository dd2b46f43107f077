//! States of aggregates that were used lately, so that a command reads the new events of its stream and not all of them: a long training has
//! tens of thousands.
//!
//! Events never change, so a state at a version is right for ever; whoever uses one reads on from its version.

use super::Loaded;
use serde_json::Value;
use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};
use trainmaster_domain::{Aggregate, StreamId};

/// How many are kept: more than a machine works on at once.
const CAPACITY: usize = 256;

#[derive(Default)]
pub(super) struct States {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_stream: HashMap<StreamId, Entry>,
    uses: u64,
}

struct Entry {
    /// `Loaded<A>` for the aggregate of the stream's category.
    loaded: Box<dyn Any + Send>,
    version: u64,
    last_use: u64,
    /// The version that is written down; 0 when none is.
    taken: u64,
    /// The state as JSON.
    write: fn(&(dyn Any + Send)) -> Option<Value>,
}

/// A state that is worth writing down.
pub(super) struct Due {
    pub(super) stream: StreamId,
    pub(super) version: u64,
    pub(super) state: Value,
}

fn write<A: Aggregate>(loaded: &(dyn Any + Send)) -> Option<Value> {
    let loaded = loaded.downcast_ref::<Loaded<A>>()?;
    serde_json::to_value(&loaded.state).ok()
}

impl States {
    /// The newest known state; the default one when none is known.
    pub(super) fn newest<A: Aggregate>(&self, stream: &StreamId) -> Loaded<A> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let now = entries.uses;
        entries
            .by_stream
            .get_mut(stream)
            .and_then(|entry| {
                entry.last_use = now;
                entry.loaded.downcast_ref::<Loaded<A>>().cloned()
            })
            .unwrap_or_else(|| Loaded {
                state: A::default(),
                version: 0,
            })
    }

    /// Keeps a state, unless a newer one is known; the least lately used makes room.
    pub(super) fn keep<A: Aggregate>(&self, stream: &StreamId, loaded: Loaded<A>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.uses += 1;
        let now = entries.uses;
        let known = entries.by_stream.get(stream);
        if known.is_some_and(|known| known.version >= loaded.version) {
            return;
        }
        let taken = known.map_or(0, |known| known.taken);
        let known = known.map(|known| known.version);
        if known.is_none() && entries.by_stream.len() >= CAPACITY {
            let oldest = entries
                .by_stream
                .iter()
                .min_by_key(|(_, entry)| entry.last_use)
                .map(|(stream, _)| stream.clone());
            if let Some(oldest) = oldest {
                entries.by_stream.remove(&oldest);
            }
        }
        entries.by_stream.insert(
            stream.clone(),
            Entry {
                version: loaded.version,
                loaded: Box::new(loaded),
                last_use: now,
                taken,
                write: write::<A>,
            },
        );
    }

    /// The states that have grown by `every` events since they were written down.
    pub(super) fn due(&self, every: u64) -> Vec<Due> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |entry: &Entry| entry.version >= entry.taken.saturating_add(every);
        entries
            .by_stream
            .iter()
            .filter(|(_, entry)| is_due(entry))
            .filter_map(|(stream, entry)| {
                Some(Due {
                    stream: stream.clone(),
                    version: entry.version,
                    state: (entry.write)(entry.loaded.as_ref())?,
                })
            })
            .collect()
    }

    /// Notes that a state is written down.
    pub(super) fn taken(&self, stream: &StreamId, version: u64) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.by_stream.get_mut(stream) {
            entry.taken = entry.taken.max(version);
        }
    }
}

impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("States")
    }
}
