//! Keeps a daemon going, as systemd would: whenever it ends, it is started again.

use super::ledger::Ledger;
use crate::lab::signal;
use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::task::JoinHandle;

type Start = Box<dyn Fn() -> Command + Send + Sync>;

/// Keeps a daemon going. The daemon is killed when this is dropped.
pub(super) struct Keeper {
    kept: Arc<Kept>,
    task: JoinHandle<()>,
}

struct Kept {
    start: Start,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// So many faults want it to stay down.
    held: u32,
    /// How it ended without having been told to.
    ends: Vec<String>,
}

impl Keeper {
    /// Starts it, and again whenever it ends. What it says goes to the file `log`.
    pub(super) fn new(start: Start, log: PathBuf) -> Self {
        let kept = Arc::new(Kept {
            start,
            log,
            state: Mutex::default(),
        });
        let task = {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                loop {
                    let ended = kept.look();
                    let pause = if ended { 200 } else { 20 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            })
        };
        Self { kept, task }
    }

    /// Its process, when there is one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.kept.state().child.as_ref().map(Child::id)
    }

    /// Kills it; it stays down until [`Self::release`].
    pub(super) fn kill(&self) {
        let mut state = self.kept.state();
        state.held += 1;
        if let Some(mut child) = state.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end; it stays down until [`Self::release`].
    pub(super) async fn end(&self, ledger: &Ledger) {
        let child = {
            let mut state = self.kept.state();
            state.held += 1;
            state.child.take()
        };
        let Some(mut child) = child else { return };
        signal(child.id(), "TERM");
        let begun = std::time::Instant::now();
        // Its own limit is 20 s, and Postgres may be away.
        while begun.elapsed() < Duration::from_secs(28) {
            match child.try_wait() {
                Ok(None) => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => return,
            }
        }
        ledger.violation("the daemon ends when told to", "it did not within 28 s");
        let _ = child.kill();
        let _ = child.wait();
    }

    /// It may be up again.
    pub(super) fn release(&self) {
        let mut state = self.kept.state();
        state.held = state.held.saturating_sub(1);
    }

    /// How it has ended without having been told to, since this was last asked.
    pub(super) fn ends(&self) -> Vec<String> {
        std::mem::take(&mut self.kept.state().ends)
    }
}

impl Kept {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was found to have ended.
    fn look(&self) -> bool {
        let mut state = self.state();
        if let Some(child) = &mut state.child {
            let Ok(Some(status)) = child.try_wait() else {
                return false;
            };
            state.ends.push(status.to_string());
            state.child = None;
            return true;
        }
        if state.held == 0 {
            let log = File::options().create(true).append(true).open(&self.log);
            let (Ok(log), Ok(errors)) = (log, File::options().append(true).open(&self.log)) else {
                return true;
            };
            // Of a group of its own: an interrupt from the terminal is for the harness.
            state.child = (self.start)()
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(errors)
                .spawn()
                .ok();
        }
        false
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
        self.kill();
    }
}
