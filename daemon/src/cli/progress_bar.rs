//! A bar for work that takes long, with the time that is left; lines where there is no terminal.

use super::{client::Sign, output::Output};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Where there is no terminal, a line comes this often.
const SECONDS_BETWEEN_LINES: f64 = 10.0;

/// Shows how far long work is.
pub(super) struct LongWork {
    what: String,
    output: Output,
    bar: Option<ProgressBar>,
    seconds: f64,
    said: f64,
}

impl LongWork {
    /// `what` is being done, such as `verifying`.
    pub(super) fn new(what: impl Into<String>, output: Output) -> Self {
        let what = what.into();
        let bar = output.is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_message(what.clone());
            bar
        });
        Self {
            what,
            output,
            bar,
            seconds: 0.0,
            said: 0.0,
        }
    }

    /// Takes in what the daemon says.
    pub(super) fn show(&mut self, sign: Sign) {
        match (sign, &self.bar) {
            (Sign::Working(seconds), bar) => {
                self.seconds = seconds;
                if let Some(bar) = bar {
                    bar.tick();
                }
            }
            (Sign::Progress(progress), Some(bar)) => {
                if bar.length().is_none() {
                    let style = ProgressStyle::with_template(
                        "{msg} {wide_bar} {pos}/{len} {prefix}, {eta} left",
                    )
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                    bar.set_style(style);
                }
                bar.set_prefix(progress.unit);
                bar.set_length(progress.total);
                bar.set_position(progress.done);
            }
            (Sign::Progress(progress), None) => {
                if self.seconds - self.said >= SECONDS_BETWEEN_LINES {
                    self.said = self.seconds;
                    let left = match progress.done {
                        0 => String::new(),
                        #[allow(clippy::cast_precision_loss, reason = "about")]
                        done => format!(
                            ", {:.0}s left",
                            self.seconds * progress.total.saturating_sub(done) as f64 / done as f64
                        ),
                    };
                    self.output.remark(format!(
                        "{}: {} of {} {}{left}",
                        self.what, progress.done, progress.total, progress.unit
                    ));
                }
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}
