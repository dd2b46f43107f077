//! Noticing that something in a run directory has changed, without looking all the time.

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::{io, mem::MaybeUninit, os::fd::OwnedFd, path::Path};
use tokio::io::{Interest, unix::AsyncFd};
use tracing::debug;

/// Watches a directory by inotify. Where that does not work (no inotify left, a network file system), [`Self::changed`] never
/// resolves, and the supervisor's own interval has to do.
pub(crate) struct DirectoryWatch {
    inotify: Option<AsyncFd<OwnedFd>>,
}

impl DirectoryWatch {
    /// Watches `directory`, which must exist.
    pub(crate) fn new(directory: &Path) -> Self {
        let inotify = open(directory)
            .inspect_err(|error| {
                debug!(directory = %directory.display(), %error, "no inotify: the directory is looked at now and then");
            })
            .ok();
        Self { inotify }
    }

    /// Resolves when something has changed since the last time. May be dropped while it waits.
    pub(crate) async fn changed(&mut self) {
        let Some(inotify) = &self.inotify else {
            return std::future::pending().await;
        };
        match inotify.readable().await {
            Ok(mut ready) => {
                let mut buffer = [MaybeUninit::uninit(); 4096];
                let mut reader = inotify::Reader::new(inotify.get_ref(), &mut buffer);
                while reader.next().is_ok() {}
                ready.clear_ready();
            }
            Err(error) => {
                debug!(%error, "inotify has failed");
                self.inotify = None;
            }
        }
    }
}

fn open(directory: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    // The journal grows; its first line creates it. Heartbeats are renamed into place and are looked at on an interval.
    inotify::add_watch(&fd, directory, WatchFlags::MODIFY | WatchFlags::CREATE)?;
    // SAFETY: an OwnedFd is open and stays the same until it is dropped, which the AsyncFd that owns it does.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs::OpenOptions, io::Write, time::Duration};

    #[tokio::test]
    async fn a_line_that_is_added_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = DirectoryWatch::new(folder.path());
        let mut journal = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.path().join("journal.jsonl"))
            .unwrap();
        let second = Duration::from_secs(10);
        tokio::time::timeout(second, watch.changed()).await.unwrap();
        journal.write_all(b"a line\n").unwrap();
        tokio::time::timeout(second, watch.changed()).await.unwrap();
    }
}
