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
        if !is_well_formed(&metrics, self.current_step, self.total_steps) {
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
            metrics,
        })])
    }

    pub(in crate::training) fn on_metrics(&mut self, recorded: &MetricsRecorded) -> bool {
        let metrics = &recorded.metrics;
        if self.status != TrainingStatus::Training
            || recorded.lease != self.attempts.lease
            || !is_well_formed(metrics, self.current_step, self.total_steps)
        {
            return false;
        }
        self.current_step = metrics.steps.last().copied().unwrap_or(self.current_step);
        self.attempts.on_heard(recorded.seq);
        true
    }
}

fn is_well_formed(metrics: &MetricsBatch, after: u64, total: u64) -> bool {
    let rows = metrics.steps.len();
    let lengths = [
        metrics.loss.len(),
        metrics.sparsity.len(),
        metrics.reconstruction_error.len(),
        metrics.dead_neurons.len(),
        metrics.explained_variance.len(),
        metrics.learning_rate.len(),
        metrics.at.len(),
    ];
    let finite = [
        &metrics.loss,
        &metrics.sparsity,
        &metrics.reconstruction_error,
        &metrics.explained_variance,
        &metrics.learning_rate,
    ]
    .into_iter()
    .flatten()
    .all(|value| value.is_finite());
    let ascending = metrics
        .steps
        .windows(2)
        .all(|pair| matches!(pair, [a, b] if a < b));
    lengths.iter().all(|length| *length == rows)
        && finite
        && ascending
        && metrics.steps.first().is_none_or(|step| *step > after)
        && metrics.steps.last().is_none_or(|step| *step <= total)
}
