//! What was read of segment files lately, decompressed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Frames are kept up to so many bytes in all, and the one that was read last whatever its size.
const CAPACITY: usize = 4 << 20;

/// Which frame: the segment and where it begins in the file.
type Key = (i32, u64);

/// The frames that were used lately, the latest at the back.
#[derive(Debug, Default)]
pub(super) struct Cache {
    frames: Mutex<VecDeque<(Key, Arc<str>)>>,
}

impl Cache {
    pub(super) fn get(&self, key: Key) -> Option<Arc<str>> {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let place = frames.iter().position(|(known, _)| *known == key)?;
        let frame = frames.remove(place)?;
        let text = frame.1.clone();
        frames.push_back(frame);
        Some(text)
    }

    pub(super) fn put(&self, key: Key, text: Arc<str>) {
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes: usize = frames.iter().map(|(_, text)| text.len()).sum();
        bytes += text.len();
        while bytes > CAPACITY {
            let Some((_, oldest)) = frames.pop_front() else {
                break;
            };
            bytes -= oldest.len();
        }
        frames.push_back((key, text));
    }
}
