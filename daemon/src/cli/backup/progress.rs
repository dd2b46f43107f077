//! A bar in a terminal, a line now and then elsewhere.

use crate::{
    backup::{Progress, Stage},
    cli::output::Output,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Where there is no bar, one line of a stage is enough for this long.
const EVERY: Duration = Duration::from_secs(30);

pub(super) struct Bar {
    output: Output,
    bar: ProgressBar,
    told: Arc<Mutex<Option<(&'static str, Instant)>>>,
}

impl Bar {
    pub(super) fn new(output: Output) -> Self {
        let bar = ProgressBar::no_length();
        if output.is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        } else {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        Self {
            output,
            bar,
            told: Arc::default(),
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let (bar, told, output) = (self.bar.clone(), self.told.clone(), self.output);
        Progress::new(move |stage| {
            if output.is_terminal() {
                draw(&bar, &stage);
                return;
            }
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            let is_new = told.is_none_or(|(what, at)| what != stage.what || at.elapsed() > EVERY);
            if is_new {
                *told = Some((stage.what, Instant::now()));
                output.remark(match stage.done_bytes {
                    Some(done) if done > 0 => format!("{}: {} MiB", stage.what, done >> 20),
                    _ => stage.what.to_owned(),
                });
            }
        })
    }

    /// Takes it off the screen.
    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn draw(bar: &ProgressBar, stage: &Stage) {
    let template = match (stage.done_bytes, stage.total_bytes) {
        (Some(_), Some(_)) => "{msg} [{bar:30}] {bytes}/{total_bytes} {eta} left",
        (Some(_), None) => "{spinner} {msg} {bytes} {elapsed}",
        _ => "{spinner} {msg} {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    if bar.message() != stage.what {
        bar.reset();
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.set_message(stage.what);
    }
    if let Some(total) = stage.total_bytes {
        bar.set_length(total);
    }
    bar.set_position(stage.done_bytes.unwrap_or(0));
}
