//! Keeps a component going.

use super::Health;
use futures::FutureExt;
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Ends without this much time up between them, after which a component is given up.
const ENDS: u32 = 8;
/// A component that was up this long has recovered.
const RECOVERED: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A component that does not stay up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{component} does not stay up ({ends} times in a row); the last time: {reason}")]
pub struct ComponentError {
    /// Which.
    pub component: &'static str,
    /// How often it ended.
    pub ends: u32,
    /// Why it ended the last time.
    pub reason: String,
}

/// Runs what `start` makes, again whenever it ends before `shutdown`. Returns after `shutdown`, once it has ended.
///
/// # Errors
/// It ended 8 times without being up for a minute in between.
pub async fn keep<F, R, E>(
    component: &'static str,
    health: Health,
    shutdown: CancellationToken,
    mut start: F,
) -> Result<(), ComponentError>
where
    F: FnMut(CancellationToken) -> R,
    R: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let (mut ends, mut pause) = (0, FIRST_PAUSE);
    loop {
        health.set(component, true);
        let started = Instant::now();
        let ended = AssertUnwindSafe(start(shutdown.clone()))
            .catch_unwind()
            .await;
        if shutdown.is_cancelled() {
            return Ok(());
        }
        health.set(component, false);
        let reason = match ended {
            Ok(Ok(())) => "it ended by itself".to_owned(),
            Ok(Err(error)) => error.to_string(),
            // The panic hook has written where.
            Err(_) => "it panicked".to_owned(),
        };
        if started.elapsed() > RECOVERED {
            (ends, pause) = (0, FIRST_PAUSE);
        }
        ends += 1;
        if ends >= ENDS {
            return Err(ComponentError {
                component,
                ends,
                reason,
            });
        }
        tracing::error!(
            component,
            reason,
            ends,
            pause_ms = pause.as_millis(),
            "a component ended and is started again"
        );
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_component_that_fails_is_started_again_until_it_stays() {
        let (starts, health, shutdown) = (
            AtomicU32::new(0),
            Health::default(),
            CancellationToken::new(),
        );
        let kept = keep("part", health.clone(), shutdown.clone(), |shutdown| {
            let start = starts.fetch_add(1, Ordering::Relaxed);
            async move {
                match start {
                    0 => Err("broken"),
                    1 => panic!("a panic is a failure like any other"),
                    _ => {
                        shutdown.cancelled().await;
                        Ok(())
                    }
                }
            }
        });
        let until = async {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert_eq!(health.down(), Vec::<&str>::new());
            shutdown.cancel();
        };
        let (kept, ()) = tokio::join!(kept, until);
        kept.unwrap();
        assert_eq!(starts.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_component_that_never_stays_is_given_up_with_its_reason() {
        let health = Health::default();
        let error = keep(
            "part",
            health.clone(),
            CancellationToken::new(),
            |_| async { Err("no disk") },
        )
        .await
        .unwrap_err();
        assert_eq!((error.ends, error.reason.as_str()), (ENDS, "no disk"));
        assert_eq!(health.down(), ["part"]);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_far_apart_do_not_add_up() {
        let (starts, shutdown) = (AtomicU32::new(0), CancellationToken::new());
        keep("part", Health::default(), shutdown.clone(), |shutdown| {
            let start = starts.fetch_add(1, Ordering::Relaxed);
            async move {
                if start == 3 * ENDS {
                    shutdown.cancel();
                }
                tokio::time::sleep(Duration::from_secs(61)).await;
                Err("now and then")
            }
        })
        .await
        .unwrap();
        assert_eq!(starts.load(Ordering::Relaxed), 3 * ENDS + 1);
    }
}
