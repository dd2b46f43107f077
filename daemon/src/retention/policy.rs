use chrono::{DateTime, Days, Months, Utc};

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Recorded steps of trainings that have ended, in days.
    pub metrics_days: u32,
    /// Strongest examples of a feature.
    pub activations_top: u32,
    /// The weakest activation of an example.
    pub activations_minimum: f64,
    /// Newest checkpoints of a training, beside the one with the lowest loss.
    pub checkpoints_last: u32,
    /// Checkpoints of trainings that have ended, in months.
    pub checkpoints_months: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            metrics_days: 90,
            activations_top: 100,
            activations_minimum: 0.1,
            checkpoints_last: 5,
            checkpoints_months: 6,
        }
    }
}

impl Policy {
    /// Recorded steps that ended before are old.
    pub(super) fn metrics_before(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_days(Days::new(self.metrics_days.into()))
            .unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// Checkpoints that were recorded before are old.
    pub(super) fn checkpoints_before(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_months(Months::new(self.checkpoints_months))
            .unwrap_or(DateTime::UNIX_EPOCH)
    }
}
