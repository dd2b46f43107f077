//! training → training: steps were recorded.

use crate::{
    Lease,
    run::journal::MetricsBatch,
    training::{MetricsRecorded, Training, TrainingEvent, TrainingRefusal, TrainingStatus},
};

impl Training {
    pub(in crate::training) fn record_metrics(
        &self,
        lease: Lease,
        seq: u64,
        metrics: MetricsBatch,
    ) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        if self.status != TrainingStatus::Training {
            return Err(TrainingRefusal::NotAllowed {
                status: self.status.as_str(),
                wanted: "measured",
            });
        }
        if metrics.steps.is_empty() {
            return Ok(vec![]);
        }
        if !self.is_well_formed(&metrics) {
            return Err(TrainingRefusal::Unbelievable(format!(
                "metrics of steps {:?} to {:?} do not continue step {} of {}, or their columns differ in length, or a value \
                 is not finite",
                metrics.steps.first(),
                metrics.steps.last(),
                self.current_step,
                self.total_steps
            )));
        }
        Ok(vec![TrainingEvent::MetricsRecorded(MetricsRecorded {
            lease,
            seq,
            progress: self.progress_to_tell(&metrics),
            metrics,
        })])
    }

    pub(in crate::training) fn on_metrics(&mut self, recorded: &MetricsRecorded) -> bool {
        let metrics = &recorded.metrics;
        if self.status != TrainingStatus::Training
            || recorded.lease != self.attempts.lease
            || !self.is_well_formed(metrics)
        {
            return false;
        }
        self.current_step = metrics.steps.last().copied().unwrap_or(self.current_step);
        self.attempts.on_heard(recorded.seq);
        true
    }

    /// For whoever reads this event alone and shows how far a training is.
    fn progress_to_tell(&self, metrics: &MetricsBatch) -> Option<f64> {
        let told = self.segmentation.is_some() || self.placement.is_some();
        let step = metrics.steps.last().filter(|_| told)?;
        #[allow(
            clippy::cast_precision_loss,
            reason = "a percentage; steps are far below 2^52"
        )]
        let percent = 100.0 * *step as f64 / self.total_steps.max(1) as f64;
        Some(percent.clamp(0.0, 100.0))
    }

    fn is_well_formed(&self, metrics: &MetricsBatch) -> bool {
        let rows = metrics.steps.len();
        // The columns that only one kind of training has.
        let (of_autoencoders, of_images) = match self.segmentation {
            None => (rows, 0),
            Some(_) => (0, rows),
        };
        let common = [
            metrics.loss.len(),
            metrics.learning_rate.len(),
            metrics.at.len(),
        ];
        let own = [
            metrics.sparsity.len(),
            metrics.reconstruction_error.len(),
            metrics.dead_neurons.len(),
            metrics.explained_variance.len(),
        ];
        common.iter().all(|length| *length == rows)
            && own.iter().all(|length| *length == of_autoencoders)
            && metrics.dice.len() == of_images
            && continues(metrics, self.current_step, self.total_steps)
    }
}

/// Whether its steps come after those that are known, and its values are numbers.
fn continues(metrics: &MetricsBatch, after: u64, total: u64) -> bool {
    let finite = [
        &metrics.loss,
        &metrics.sparsity,
        &metrics.reconstruction_error,
        &metrics.explained_variance,
        &metrics.dice,
        &metrics.learning_rate,
    ]
    .into_iter()
    .flatten()
    .all(|value| value.is_finite());
    let ascending = metrics
        .steps
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a < b));
    finite
        && ascending
        && metrics.steps.first().is_none_or(|step| *step > after)
        && metrics.steps.last().is_none_or(|step| *step <= total)
}
