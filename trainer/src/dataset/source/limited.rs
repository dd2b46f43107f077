//! A reader that counts, and that gives out no more than it has been allowed.

use std::{
    cell::Cell,
    io::{self, Read, Seek, SeekFrom},
    rc::Rc,
};

/// What is known of a [`Limited`] reader that something else has swallowed.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    read: Rc<Cell<u64>>,
    left: Rc<Cell<u64>>,
}

/// A reader that counts, and that gives out no more than it has been allowed.
#[derive(Debug)]
pub(super) struct Limited<R> {
    inner: R,
    meter: Meter,
}

impl Meter {
    /// Bytes that have been read.
    pub fn read_bytes(&self) -> u64 {
        self.read.get()
    }

    /// Allows so many bytes from here.
    pub fn allow(&self, bytes: u64) {
        self.left.set(bytes);
    }

    /// Whether all that was allowed has been read.
    pub fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }
}

impl<R> Limited<R> {
    /// Nothing is allowed yet.
    pub fn new(inner: R) -> (Self, Meter) {
        let meter = Meter::default();
        let own = meter.clone();
        (Self { inner, meter: own }, meter)
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.meter.left.get()).unwrap_or(usize::MAX);
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("more than may be read at once"));
        }
        let most = buffer.len().min(left);
        let read = self.inner.read(&mut buffer[..most])?;
        self.meter.left.set((left - read) as u64);
        self.meter.read.set(self.meter.read.get() + read as u64);
        Ok(read)
    }
}

impl<R: Seek> Seek for Limited<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
