//! Work that tells how far it is.

use super::{Run, failure::RunError, life::Next};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// How far the work moves on between two records that say so, in percent; or how long it takes.
const STRIDE: f64 = 5.0;
const PAUSE: Duration = Duration::from_secs(30);

/// Which percentages are worth a record.
#[derive(Debug)]
pub(super) struct News {
    said: f64,
    said_at: Instant,
}

impl News {
    /// 0 has been said.
    pub(super) fn new() -> Self {
        Self {
            said: 0.0,
            said_at: Instant::now(),
        }
    }

    /// Whether this one is, and is to be said now.
    pub(super) fn is(&mut self, percent: f64) -> bool {
        let is_news = percent >= self.said + STRIDE
            || (percent > self.said && self.said_at.elapsed() >= PAUSE);
        if is_news {
            (self.said, self.said_at) = (percent, Instant::now());
        }
        is_news
    }
}

/// Does work that tells how far it is, passes that on, and ends it when it is asked to.
pub(super) fn watched<T, E>(
    run: &mut Run,
    stage: &str,
    work: impl FnOnce(&mut dyn FnMut(f64) -> ControlFlow<()>) -> Result<T, E>,
) -> Result<T, RunError>
where
    RunError: From<E>,
{
    run.say_progress(stage, 0.0)?;
    let mut news = News::new();
    let mut ended = None;
    let done = work(&mut |percent| {
        run.life.progress();
        ended = match run.life.heard() {
            Next::GoOn if news.is(percent) => run.say_progress(stage, percent).err(),
            Next::GoOn => None,
            Next::Asked(_) => Some(RunError::Interrupted),
            Next::Leave => Some(RunError::Superseded),
            Next::Save | Next::Requeue => Some(RunError::Left),
        };
        match ended {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    });
    match ended {
        Some(error) => Err(error),
        None => Ok(done?),
    }
}
