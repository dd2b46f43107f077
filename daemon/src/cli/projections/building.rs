//! A rebuild or a verification: a bar in a terminal, else lines; with `--json` a line of JSON each second.

use crate::cli::{
    client::{Client, Sign, encode},
    failure::Failure,
    output::Output,
    progress_bar::LongWork,
};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::json;

/// Asks the daemon for `action` and shows how far it is.
pub(super) async fn run_telling<T: DeserializeOwned>(
    client: &Client,
    read_model: &str,
    action: &str,
    output: Output,
) -> Result<T, Failure> {
    let path = format!("/v1/projections/{}/{action}", encode(read_model));
    let what = match action {
        "verify" => format!("verifying {read_model}"),
        _ => format!("making {read_model} anew"),
    };
    let mut work = LongWork::new(what, output);
    let mut pace = Pace::default();
    let mut failed = None;
    let outcome = client
        .long_running(&Method::POST, &path, |sign| {
            if output.is_json() {
                failed = pace.tell(sign, output).err();
            } else {
                work.show(sign);
            }
        })
        .await;
    work.end();
    match failed {
        Some(failure) => Err(failure),
        None => outcome,
    }
}

/// How fast the present stage is: each has a unit of its own.
#[derive(Default)]
struct Pace {
    seconds: f64,
    unit: String,
    began: f64,
    before: u64,
}

impl Pace {
    fn tell(&mut self, sign: Sign, output: Output) -> Result<(), Failure> {
        match sign {
            Sign::Working(seconds) => {
                self.seconds = seconds;
                Ok(())
            }
            Sign::Progress(progress) => {
                let left = self.seconds_left(&progress.unit, progress.done, progress.total);
                output.json(&json!({ "progress": {
                    "done": progress.done,
                    "total": progress.total,
                    "unit": progress.unit,
                    "seconds": self.seconds,
                    "seconds_left": left,
                } }))
            }
        }
    }

    /// None before that can be told.
    fn seconds_left(&mut self, unit: &str, done: u64, total: u64) -> Option<f64> {
        if self.unit != unit {
            (self.unit, self.began, self.before) = (unit.to_owned(), self.seconds, done);
        }
        let now = done.saturating_sub(self.before);
        let left = total.saturating_sub(done) as f64;
        (now > 0).then(|| left * (self.seconds - self.began) / now as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn the_time_left_follows_from_the_pace_since_it_was_asked_and_not_from_what_was_done_before() {
        let mut pace = Pace::default();
        assert_eq!(pace.seconds_left("events", 900, 1_000), None);
        pace.seconds = 10.0;
        assert_eq!(pace.seconds_left("events", 950, 1_000), Some(10.0));
        assert_eq!(pace.seconds_left("rows compared", 5, 1_000), None);
    }
}
