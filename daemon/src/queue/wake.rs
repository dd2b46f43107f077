//! What makes the queue's worker look for tasks without waiting for its interval.

use apalis::prelude::{PollSnapshot, PollStrategy};
use futures::task::AtomicWaker;
use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// After a notification the worker is woken at once and again after each of these times. A notification that arrives
/// while the worker is looking is lost on it (what it looks at is older), so once is not enough.
const ECHOES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(40)];

/// A polling strategy that is woken from outside.
#[derive(Clone, Default)]
pub(super) struct WakeStrategy {
    waker: Arc<AtomicWaker>,
}

impl WakeStrategy {
    /// Wakes the worker on each notification, and again shortly after. Never returns.
    pub(super) async fn wake_on(&self, notify: &Notify) {
        loop {
            notify.notified().await;
            loop {
                let since = Instant::now();
                let again = async {
                    for echo in ECHOES {
                        if !echo.is_zero() {
                            tokio::time::sleep_until(since + echo).await;
                        }
                        self.waker.wake();
                    }
                };
                tokio::select! {
                    () = again => break,
                    () = notify.notified() => {}
                }
            }
        }
    }
}

impl PollStrategy for WakeStrategy {
    fn poll_drive(&mut self, context: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        // The waker is kept whatever the outcome of this poll: one that is handed over only while the strategy is pending
        // is forgotten as soon as a wake-up has been consumed.
        self.waker.register(context.waker());
        Poll::Pending
    }
}
