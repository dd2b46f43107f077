//! One stream of activations on disk.
//!
//! `rows` has a place of the same size for each pass, most of it filled with activations as they are in memory; `passes` has a bit for each
//! that is there. A bit is written after what it stands for is durable, so an entry that was cut off holds what it says. `lock` is held by
//! whoever uses it.

use super::super::remark::remark;
use super::Extent;
use crate::run::durable::sync_directory;
use memmap2::{Advice, Mmap};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const ROWS: &str = "rows";
const PASSES: &str = "passes";

/// An entry in use. Dropping it gives up its lock.
#[derive(Debug)]
pub(super) struct Entry {
    directory: PathBuf,
    extent: Extent,
    map: Mmap,
    /// A bit for each pass.
    there: Vec<u8>,
    /// Where this training may add to it.
    writer: Option<File>,
    /// Whether something has been added since it was made durable.
    unsettled: bool,
    lock: File,
}

impl Entry {
    /// Opens an entry that is whole for reading, another for writing; none where somebody else writes it.
    pub(super) fn open(directory: &Path, extent: Extent, lock: File) -> io::Result<Option<Self>> {
        let there = passes(directory, extent);
        let is_whole = count(&there) == extent.passes;
        let operation = if is_whole {
            FlockOperation::NonBlockingLockShared
        } else {
            FlockOperation::NonBlockingLockExclusive
        };
        if flock(&lock, operation).is_err() {
            return Ok(None);
        }
        let file = File::options()
            .read(true)
            .write(!is_whole)
            .create(!is_whole)
            .truncate(false)
            .open(directory.join(ROWS))?;
        if file.metadata()?.len() != extent.bytes() {
            if is_whole {
                // Somebody cut it: it is filled anew next time.
                fs::remove_file(directory.join(PASSES))?;
                return Ok(None);
            }
            file.set_len(extent.bytes())?;
        }
        // SAFETY: entries are written by holders of the exclusive lock alone, in places that nobody reads before they are there, and never cut
        // while the lock is held. Should another program cut the file, the process is killed by a signal, which its runner sees, but reads
        // nothing wrong.
        let map = unsafe { Mmap::map(&file)? };
        let _ = map.advise(Advice::Random);
        Ok(Some(Self {
            directory: directory.to_owned(),
            extent,
            map,
            there,
            writer: (!is_whole).then_some(file),
            unsettled: false,
            lock,
        }))
    }

    pub(super) fn is_complete(&self) -> bool {
        count(&self.there) == self.extent.passes
    }

    /// The first bytes of a pass that is there.
    pub(super) fn pass(&self, pass: u64, bytes: usize) -> Option<&[u8]> {
        if !self.holds(pass) || bytes as u64 > self.extent.bytes_per_pass {
            return None;
        }
        let start = usize::try_from(pass * self.extent.bytes_per_pass).ok()?;
        self.map.get(start..start + bytes)
    }

    /// Whether a pass is for this training to keep.
    pub(super) fn wants(&self, pass: u64) -> bool {
        self.writer.is_some() && pass < self.extent.passes && !self.holds(pass)
    }

    fn holds(&self, pass: u64) -> bool {
        let byte = usize::try_from(pass / 8)
            .ok()
            .and_then(|at| self.there.get(at));
        byte.is_some_and(|byte| byte >> (pass % 8) & 1 == 1)
    }

    /// Adds a pass. Where there is no room, this training keeps nothing more.
    pub(super) fn keep(&mut self, pass: u64, bytes: &[u8]) {
        let Some(file) = &self.writer else {
            return;
        };
        if bytes.len() as u64 > self.extent.bytes_per_pass {
            return;
        }
        if let Err(error) = file.write_all_at(bytes, pass * self.extent.bytes_per_pass) {
            return self.give_up(&error);
        }
        if let Some(byte) = self.there.get_mut((pass / 8) as usize) {
            *byte |= 1 << (pass % 8);
        }
        self.unsettled = true;
    }

    /// Makes durable what was added. An entry that has become whole is for everybody.
    pub(super) fn settle(&mut self) {
        let (Some(file), true) = (&self.writer, self.unsettled) else {
            return;
        };
        let settled = file
            .sync_data()
            .and_then(|()| write_passes(&self.directory, &self.there));
        if let Err(error) = settled {
            return self.give_up(&error);
        }
        self.unsettled = false;
        if self.is_complete() && flock(&self.lock, FlockOperation::NonBlockingLockShared).is_ok() {
            self.writer = None;
        }
    }

    fn give_up(&mut self, error: &io::Error) {
        remark(format_args!(
            "activations are not kept any more in {}: {error}",
            self.directory.display()
        ));
        self.writer = None;
    }
}

/// Which passes are there; none where nothing believable says so.
fn passes(directory: &Path, extent: Extent) -> Vec<u8> {
    let length = usize::try_from(extent.passes.div_ceil(8)).unwrap_or(0);
    fs::read(directory.join(PASSES))
        .ok()
        .filter(|bits| bits.len() == length && count(bits) <= extent.passes)
        .unwrap_or_else(|| vec![0; length])
}

fn count(bits: &[u8]) -> u64 {
    bits.iter().map(|byte| u64::from(byte.count_ones())).sum()
}

fn write_passes(directory: &Path, bits: &[u8]) -> io::Result<()> {
    let beside = directory.join(format!("{PASSES}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(bits)?;
    file.sync_all()?;
    fs::rename(&beside, directory.join(PASSES))?;
    sync_directory(directory)
}
