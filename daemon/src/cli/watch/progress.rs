//! How far a training is: its row at first, then event by event.

use super::watched::Watched;
use crate::cli::{client::StreamEvent, segmentations::dice};
use chrono::{DateTime, Utc};
use serde::Deserialize as _;
use serde_json::Value;
use trainmaster_domain::run::journal::SegmentationQuality;

/// How far a training is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    /// Whether it is of images; else of an autoencoder.
    pub(super) of_images: bool,
    pub(super) status: String,
    /// `pausing` or `stopping`.
    pub(super) asked: Option<String>,
    pub(super) step: u64,
    pub(super) total: u64,
    batch_size: f64,
    /// Tokens, or images, a second.
    pub(super) rate: Option<f64>,
    pub(super) loss: Option<f64>,
    pub(super) sparsity: Option<f64>,
    pub(super) explained_variance: Option<f64>,
    pub(super) dead: Option<i64>,
    pub(super) dice: Option<f64>,
    /// Where this run's measuring began. The time that is left follows from the whole run's pace: a single batch may be a
    /// fast or a slow one.
    begun: Option<(u64, DateTime<Utc>)>,
    pace_steps_per_second: Option<f64>,
}

impl Progress {
    pub(super) fn of(training: &Watched) -> Self {
        Self {
            of_images: training.of_images,
            status: training.status.clone(),
            asked: match training.requested.as_deref() {
                Some("pause") => Some("pausing".to_owned()),
                Some("stop") => Some("stopping".to_owned()),
                _ => None,
            },
            step: training.current_step,
            total: training.total_steps,
            batch_size: training.batch_size,
            rate: training.rate,
            loss: training.loss,
            sparsity: training.sparsity,
            explained_variance: training.explained_variance,
            dead: training.dead,
            dice: training.dice,
            begun: None,
            pace_steps_per_second: None,
        }
    }

    /// Takes in what happened; what is worth a line of its own is returned.
    pub(super) fn apply(&mut self, event: &StreamEvent) -> Option<String> {
        let number = |name: &str| event.payload.get(name).and_then(Value::as_u64);
        let text = |name: &str| event.payload.get(name).and_then(Value::as_str);
        match event.kind.as_str() {
            "TrainingClaimed" => self.become_("initializing"),
            "TrainingStarted" => {
                self.become_("training");
                (self.begun, self.pace_steps_per_second) = (None, None);
                self.step = number("at_step").unwrap_or(self.step);
                let what = match (number("d_sae"), number("d_in")) {
                    (Some(latents), Some(width)) => {
                        format!(" of {latents} latents on {width} dimensions")
                    }
                    _ => String::new(),
                };
                return Some(format!("step {}: a run{what} begins", self.step));
            }
            "MetricsRecorded" => self.metrics(event.payload.get("metrics")?),
            "CheckpointSaved" => {
                return Some(format!(
                    "step {}: checkpoint {}",
                    number("step").unwrap_or(0),
                    text("storage_path").unwrap_or("saved")
                ));
            }
            "TrainingEvaluated" => return evaluated(&event.payload),
            "SegmentationEvaluated" => {
                let quality = event.payload.get("quality")?;
                let quality = SegmentationQuality::deserialize(quality).ok()?;
                let found = dice(&quality);
                return Some(format!("step {}: on held-out images {found}", quality.step));
            }
            "PauseRequested" => self.asked = Some("pausing".to_owned()),
            "StopRequested" => self.asked = Some("stopping".to_owned()),
            "TrainingPaused" => self.rest("paused", number("step")),
            "TrainingStopped" => self.rest("stopped", number("step")),
            "TrainingCompleted" => self.rest("completed", number("step")),
            "TrainingFailed" => self.rest("failed", None),
            "TrainingErrored" => self.rest("error", None),
            "TrainingResumed" => self.become_("queued"),
            "TrainingLeaseExpired" => {
                self.rest("error", None);
                return Some(format!(
                    "the run is lost: {}",
                    text("message").unwrap_or("no reason was given")
                ));
            }
            "TrainingRetried" => {
                self.become_("queued");
                return Some(match text("not_before") {
                    Some(time) => format!("another attempt will be made after {time}"),
                    None => "another attempt will be made".to_owned(),
                });
            }
            _ => {}
        }
        None
    }

    fn metrics(&mut self, metrics: &Value) {
        let last = |name: &str| metrics.get(name).and_then(Value::as_array)?.last();
        if let Some(step) = last("steps").and_then(Value::as_u64) {
            self.step = step;
        }
        self.loss = last("loss").and_then(Value::as_f64).or(self.loss);
        self.sparsity = last("sparsity").and_then(Value::as_f64).or(self.sparsity);
        self.explained_variance = last("explained_variance")
            .and_then(Value::as_f64)
            .or(self.explained_variance);
        self.dead = last("dead_neurons").and_then(Value::as_i64).or(self.dead);
        self.dice = last("dice").and_then(Value::as_f64).or(self.dice);
        self.rate = metrics
            .get("tokens_per_second")
            .and_then(Value::as_f64)
            .filter(|rate| *rate > 0.0)
            .or(self.rate);
        if let Some(now) = last("at").and_then(|at| DateTime::deserialize(at).ok()) {
            let (step, begun) = *self.begun.get_or_insert((self.step, now));
            let seconds = (now - begun).as_seconds_f64();
            if self.step > step && seconds > 0.0 {
                self.pace_steps_per_second = Some((self.step - step) as f64 / seconds);
            }
        }
    }

    fn become_(&mut self, status: &str) {
        status.clone_into(&mut self.status);
    }

    fn rest(&mut self, status: &str, step: Option<u64>) {
        self.become_(status);
        self.asked = None;
        self.rate = None;
        self.step = step.unwrap_or(self.step);
    }

    /// Whether nothing more happens by itself, or nothing that is known yet.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.status.as_str(), "completed" | "stopped" | "paused") || self.has_failed()
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.status.as_str(), "failed" | "error")
    }

    /// What is left at the pace of this run so far.
    pub(super) fn seconds_left(&self) -> Option<f64> {
        if self.status != "training" {
            return None;
        }
        let pace = self.pace_steps_per_second.or_else(|| {
            let rate = self.rate.filter(|rate| *rate > 0.0)?;
            Some(rate / self.batch_size)
        })?;
        Some(self.total.saturating_sub(self.step) as f64 / pace)
    }
}

/// What an evaluation found, a sentence for all autoencoders.
fn evaluated(payload: &Value) -> Option<String> {
    let step = payload.get("step")?.as_u64()?;
    let sites = payload.get("sites")?.as_array()?;
    let mean = |name: &str| {
        let values: Vec<f64> = sites
            .iter()
            .filter_map(|site| site.get(name)?.as_f64())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let score = mean("ce_score").map_or_else(String::new, |score| format!(", CE score {score:.3}"));
    Some(format!(
        "step {step}: on held-out text EV {:.3}, L0 {:.1}{score}",
        mean("explained_variance")?,
        mean("active_latents")?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(kind: &str, payload: Value) -> StreamEvent {
        serde_json::from_value(json!({ "position": "1-1", "type": kind, "payload": payload }))
            .unwrap()
    }

    fn queued() -> Progress {
        Progress {
            of_images: false,
            status: "queued".to_owned(),
            asked: None,
            step: 0,
            total: 1_000,
            batch_size: 256.0,
            rate: None,
            loss: None,
            sparsity: None,
            explained_variance: None,
            dead: None,
            dice: None,
            begun: None,
            pace_steps_per_second: None,
        }
    }

    #[test]
    fn the_time_that_is_left_follows_from_speed_and_steps() {
        let mut progress = queued();
        progress.apply(&event("TrainingClaimed", json!({ "lease": 1 })));
        progress.apply(&event(
            "TrainingStarted",
            json!({ "at_step": 0, "d_in": 8, "d_sae": 64 }),
        ));
        assert_eq!(progress.seconds_left(), None);
        progress.apply(&event(
            "MetricsRecorded",
            json!({ "metrics": {
                "steps": [1, 100], "loss": [2.0, 1.0], "sparsity": [9.0, 8.0], "explained_variance": [0.1, 0.5],
                "dead_neurons": [0, 3], "tokens_per_second": 2560.0
            } }),
        ));
        assert_eq!(
            (progress.step, progress.loss, progress.dead),
            (100, Some(1.0), Some(3))
        );
        assert_eq!(progress.seconds_left(), Some(90.0));
        assert!(progress.line().contains("EV 0.500"), "{}", progress.line());
    }

    #[test]
    fn a_training_of_images_tells_what_it_is_worth_on_them() {
        let mut progress = queued();
        progress.of_images = true;
        assert_eq!(
            progress.apply(&event("TrainingStarted", json!({ "at_step": 20 }))),
            Some("step 20: a run begins".to_owned())
        );
        progress.apply(&event(
            "MetricsRecorded",
            json!({ "metrics": {
                "steps": [30], "loss": [0.5], "dice": [0.25], "tokens_per_second": 2560.0
            } }),
        ));
        assert!(
            progress
                .line()
                .contains("images/s  loss 0.5000  Dice 0.250"),
            "{}",
            progress.line()
        );
        let quality =
            json!({ "step": 40, "images": 6, "loss": 0.25, "dice": [0.5, null], "mean_dice": 0.5 });
        assert_eq!(
            progress.apply(&event(
                "SegmentationEvaluated",
                json!({ "quality": quality })
            )),
            Some("step 40: on held-out images Dice 0.500 (0.500, -), loss 0.2500".to_owned())
        );
    }

    #[test]
    fn the_pace_is_that_of_the_whole_run_not_of_its_last_batch() {
        let mut progress = queued();
        progress.become_("training");
        for (step, at, rate) in [
            (100, "2026-01-01T00:00:00Z", 2560.0),
            (200, "2026-01-01T00:00:20Z", 9999.0),
            (300, "2026-01-01T00:00:40Z", 1.0),
        ] {
            progress.apply(&event(
                "MetricsRecorded",
                json!({ "metrics": { "steps": [step], "at": [at], "tokens_per_second": rate } }),
            ));
        }
        assert_eq!(progress.seconds_left(), Some(140.0));
    }

    #[test]
    fn a_lost_run_that_is_tried_again_is_not_the_end() {
        let mut progress = queued();
        progress.apply(&event(
            "TrainingLeaseExpired",
            json!({ "message": "killed" }),
        ));
        assert!(progress.is_at_rest());
        progress.apply(&event("TrainingRetried", json!({ "automatic": true })));
        assert!(!progress.is_at_rest());
    }

    #[test]
    fn resuming_goes_back_to_the_checkpoint() {
        let mut progress = queued();
        progress.step = 130;
        progress.apply(&event(
            "TrainingPaused",
            json!({ "step": 120, "forced": false }),
        ));
        assert_eq!(progress.step, 120);
        assert!(progress.is_at_rest());
        progress.apply(&event("TrainingResumed", json!({})));
        assert!(!progress.is_at_rest());
    }
}
