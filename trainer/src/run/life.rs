//! The sign of life, and the ear for requests: a thread of its own, so that long work between two steps is neither silent nor deaf.

use super::{executor::Executor, remark::remark};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use trainmaster_domain::Lease;
use trainmaster_domain::run::{
    EXIT_SUPERSEDED,
    control::{Control, Request},
    journal::Heartbeat,
    spec::RunSpec,
};

/// How long work that is superseded may take to notice before the process is ended under it.
const GRACE: Duration = Duration::from_secs(2);

/// What a run is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    GoOn,
    /// As asked.
    Asked(Request),
    /// Leave without a word: the lease has passed to another.
    Leave,
    /// Save what can be gone on from, if the work has such, and leave without a word: SLURM ends the job, and says itself why.
    Save,
    /// Save, and ask SLURM for another turn: the time limit is near. Only work that saves hears of it.
    Requeue,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    lease: Lease,
    progress: AtomicU64,
    request: AtomicU8,
    superseded: AtomicBool,
    executor: Executor,
    saves: AtomicBool,
    ended: Mutex<bool>,
    wake: Condvar,
}

/// The thread and what it has heard.
#[derive(Debug)]
pub struct Life {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Life {
    /// Starts beating in a run's directory.
    #[must_use]
    pub fn start(directory: &Path, lease: Lease, interval: Duration, executor: Executor) -> Self {
        let shared = Arc::new(Shared {
            directory: directory.to_owned(),
            lease,
            progress: AtomicU64::new(0),
            request: AtomicU8::new(0),
            superseded: AtomicBool::new(false),
            executor,
            saves: AtomicBool::new(false),
            ended: Mutex::new(false),
            wake: Condvar::new(),
        });
        let beating = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || beating.beat(interval))
            .inspect_err(|error| remark(format_args!("no heartbeat thread: {error}")))
            .ok();
        Self { shared, thread }
    }

    /// The work has moved on.
    pub fn progress(&self) {
        self.shared.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// The work saves what can be gone on from when it is asked to.
    pub(super) fn saves(&self) {
        self.shared.saves.store(true, Ordering::Relaxed);
    }

    /// What to do next; reads `control`.
    #[must_use]
    pub fn next(&self) -> Next {
        self.shared.look_at_control();
        self.shared.next()
    }

    /// Whether the spec still carries our lease; reads it. A process that was stopped and continued would not have heard yet.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.shared.look_at_lease();
        self.heard() == Next::Leave
    }

    /// What to do next as far as the thread has heard: costs nothing.
    #[must_use]
    pub fn heard(&self) -> Next {
        self.shared.next()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        *self
            .shared
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn beat(&self, interval: Duration) {
        let mut superseded_at = None;
        let mut beat = 0;
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            self.look_at_lease();
            if self.superseded.load(Ordering::Relaxed) {
                let since = *superseded_at.get_or_insert_with(Instant::now);
                if since.elapsed() >= GRACE {
                    // The work does not notice (it may be wedged); nothing that it still does may count.
                    signal_hook::low_level::exit(EXIT_SUPERSEDED);
                }
            } else {
                self.look_at_control();
                beat += 1;
                self.write_heartbeat(beat);
            }
            let wait = if superseded_at.is_some() {
                interval.min(GRACE / 4)
            } else {
                interval
            };
            ended = self
                .wake
                .wait_timeout(ended, wait)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(ended, _)| ended);
        }
    }

    // A heartbeat that cannot be written is a beat missed; the daemon draws the conclusion.
    fn write_heartbeat(&self, beat: u64) {
        let heartbeat = Heartbeat {
            lease: self.lease,
            beat,
            progress: self.progress.load(Ordering::Relaxed),
        };
        let beside = self.directory.join(format!(".heartbeat.{}", self.lease));
        if let Ok(text) = serde_json::to_vec(&heartbeat)
            && fs::write(&beside, text).is_ok()
        {
            let _ = fs::rename(&beside, self.directory.join("heartbeat"));
        }
    }

    fn look_at_lease(&self) {
        let path = self.directory.join("spec.json");
        let other = match fs::read(&path) {
            // A spec that cannot be read is no ground to leave; one of another lease is, and so is none.
            Ok(text) => {
                serde_json::from_slice::<RunSpec>(&text).is_ok_and(|spec| spec.lease != self.lease)
            }
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if other {
            self.superseded.store(true, Ordering::Relaxed);
        }
    }

    fn look_at_control(&self) {
        let Ok(text) = fs::read(self.directory.join("control")) else {
            return;
        };
        if let Ok(control) = serde_json::from_slice::<Control>(&text)
            && control.lease == self.lease
        {
            let request = match control.request {
                Request::Pause => 1,
                Request::Stop => 2,
            };
            self.request.store(request, Ordering::Relaxed);
        }
    }

    fn next(&self) -> Next {
        if self.superseded.load(Ordering::Relaxed) {
            return Next::Leave;
        }
        match self.request.load(Ordering::Relaxed) {
            2 => Next::Asked(Request::Stop),
            1 => Next::Asked(Request::Pause),
            _ if self.executor.has_terminated() => match self.executor.is_slurm() {
                true => Next::Save,
                false => Next::Asked(Request::Pause),
            },
            _ if self.executor.time_is_nearly_up() && self.saves.load(Ordering::Relaxed) => {
                Next::Requeue
            }
            _ => Next::GoOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::SlurmJob;

    #[test]
    fn what_a_signal_means_is_a_matter_of_who_sends_it_and_what_the_work_can() {
        let folder = tempfile::tempdir().unwrap();
        let job = |name: &str| (name == "SLURM_JOB_ID").then(|| "12".to_owned());
        let (terminated, time_is_nearly_up) = (Arc::default(), Arc::<AtomicBool>::default());
        let of_slurm = Executor::slurm(
            SlurmJob::of(&job).unwrap(),
            Arc::clone(&terminated),
            Arc::clone(&time_is_nearly_up),
        );
        std::fs::write(folder.path().join("spec.json"), "{}").unwrap();
        let life = |executor: &Executor| {
            let minute = Duration::from_secs(60);
            Life::start(folder.path(), Lease(1), minute, executor.clone())
        };
        let slurm = life(&of_slurm);
        assert_eq!(slurm.heard(), Next::GoOn);
        time_is_nearly_up.store(true, Ordering::Relaxed);
        assert_eq!(slurm.heard(), Next::GoOn, "it has nothing to save");
        slurm.saves();
        assert_eq!(slurm.heard(), Next::Requeue);
        terminated.store(true, Ordering::Relaxed);
        assert_eq!(slurm.heard(), Next::Save);
        let local = life(&Executor::daemon(terminated));
        assert_eq!(local.heard(), Next::Asked(Request::Pause));
    }
}
