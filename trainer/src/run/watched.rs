//! Work that tells how far it is.

use super::{Run, failure::RunError, life::Next};
use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

/// How far the work moves on between two records that say so, in percent; or how long it takes.
const STRIDE: f64 = 5.0;
const PAUSE: Duration = Duration::from_secs(30);

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
    let (mut said, mut said_at) = (0.0, Instant::now());
    let mut ended = None;
    let done = work(&mut |percent| {
        run.life.progress();
        let is_news = percent >= said + STRIDE || (percent > said && said_at.elapsed() >= PAUSE);
        ended = match run.life.heard() {
            Next::GoOn if is_news => {
                (said, said_at) = (percent, Instant::now());
                run.say_progress(stage, percent).err()
            }
            Next::GoOn => None,
            Next::Asked(_) => Some(RunError::Interrupted),
            Next::Leave => Some(RunError::Superseded),
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
