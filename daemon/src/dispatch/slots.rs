//! How much may run on each device at the same time.

use super::Device;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The slots of this daemon's devices.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    devices: Vec<Device>,
    taken: Mutex<Taken>,
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Taken {
    by_device: BTreeMap<String, usize>,
    /// Somebody found no slot since one was last freed.
    wanted: bool,
}

/// A taken slot; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    device: String,
}

impl Slots {
    /// `freed` is told when a slot is freed that somebody has waited for.
    pub(crate) fn new(devices: Vec<Device>, freed: Arc<Notify>) -> Self {
        Self(Arc::new(Inner {
            devices,
            taken: Mutex::default(),
            freed,
        }))
    }

    /// A slot on a device that suits: a GPU first where `prefers_gpu`, the processor otherwise; any other only where there is
    /// none of the kind.
    pub(crate) fn take(&self, prefers_gpu: bool) -> Option<Slot> {
        let mut taken = self.taken();
        match self.free(prefers_gpu, &taken) {
            Some(device) => {
                *taken.by_device.entry(device.name.clone()).or_insert(0) += 1;
                Some(Slot {
                    slots: self.clone(),
                    device: device.name.clone(),
                })
            }
            None => {
                taken.wanted = true;
                None
            }
        }
    }

    /// Whether [`Self::take`] would find one; if not, it is told when one is freed.
    pub(crate) fn has_free(&self, prefers_gpu: bool) -> bool {
        let mut taken = self.taken();
        let has = self.free(prefers_gpu, &taken).is_some();
        taken.wanted |= !has;
        has
    }

    fn free(&self, prefers_gpu: bool, taken: &Taken) -> Option<&Device> {
        let is_gpu = |device: &&Device| device.name.starts_with("cuda");
        let (suiting, others): (Vec<_>, Vec<_>) = self
            .0
            .devices
            .iter()
            .partition(|device| is_gpu(device) == prefers_gpu);
        let suiting = if suiting.is_empty() { others } else { suiting };
        suiting
            .into_iter()
            .find(|device| taken.by_device.get(&device.name).copied().unwrap_or(0) < device.slots)
    }

    /// A slot on a device that has so many, whichever devices this machine has.
    pub(crate) fn take_on(&self, device: &str, most: usize) -> Option<Slot> {
        let mut taken = self.taken();
        let count = taken.by_device.entry(device.to_owned()).or_insert(0);
        if *count >= most {
            taken.wanted = true;
            return None;
        }
        *count += 1;
        Some(Slot {
            slots: self.clone(),
            device: device.to_owned(),
        })
    }

    /// Asks to be told when a slot is freed, whatever slot it is.
    pub(crate) fn want(&self) {
        self.taken().wanted = true;
    }

    /// The slot of a run that lives already, whether there is room for it or not.
    pub(crate) fn occupy(&self, device: &str) -> Slot {
        *self.taken().by_device.entry(device.to_owned()).or_insert(0) += 1;
        Slot {
            slots: self.clone(),
            device: device.to_owned(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub(crate) fn device(&self) -> &str {
        &self.device
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        if let Some(count) = taken.by_device.get_mut(&self.device) {
            *count = count.saturating_sub(1);
        }
        if std::mem::take(&mut taken.wanted) {
            drop(taken);
            self.slots.0.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn slots(devices: &[(&str, usize)]) -> (Slots, Arc<Notify>) {
        let freed = Arc::new(Notify::new());
        let devices = devices
            .iter()
            .map(|(name, slots)| Device {
                name: (*name).to_owned(),
                slots: *slots,
            })
            .collect();
        (Slots::new(devices, Arc::clone(&freed)), freed)
    }

    #[test]
    fn a_device_takes_as_many_runs_as_it_has_slots() {
        let (slots, freed) = slots(&[("cpu", 2)]);
        let first = slots.take(true).unwrap();
        let _second = slots.take(false).unwrap();
        assert!(slots.take(false).is_none());
        drop(first);
        assert!(freed.notified().now_or_never().is_some());
        assert!(slots.take(false).is_some());
    }

    #[test]
    fn a_slot_that_nobody_waited_for_is_freed_in_silence() {
        let (slots, freed) = slots(&[("cpu", 1)]);
        drop(slots.take(false).unwrap());
        assert!(freed.notified().now_or_never().is_none());
    }

    #[test]
    fn training_goes_to_the_gpu_and_the_rest_to_the_processor() {
        let (slots, _) = slots(&[("cpu", 1), ("cuda:0", 1), ("cuda:1", 1)]);
        let devices: Vec<_> = (0..2).map(|_| slots.take(true).unwrap()).collect();
        assert_eq!(devices[0].device(), "cuda:0");
        assert_eq!(devices[1].device(), "cuda:1");
        assert!(slots.take(true).is_none());
        assert_eq!(slots.take(false).unwrap().device(), "cpu");
    }

    #[test]
    fn a_run_that_lives_already_counts_even_where_there_is_no_room() {
        let (slots, _) = slots(&[("cpu", 1)]);
        let first = slots.occupy("cpu");
        let second = slots.occupy("cpu");
        drop(first);
        assert!(slots.take(false).is_none());
        drop(second);
        assert!(slots.take(false).is_some());
    }
}
