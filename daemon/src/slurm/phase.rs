//! What a job's stream means for the run that it executes.

use trainmaster_domain::{
    attempt::LossReason,
    slurm::{SlurmJob, SlurmJobStatus, SlurmState, state::SlurmFailure},
};

/// How it stands with a job, for whoever looks after its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being submitted, or waits in the cluster's queue.
    Waits,
    /// It has its node.
    AtWork,
    /// It holds its node, and may do nothing for the time being.
    Suspended,
    /// It is gone for the lease: put back into the queue, or ended.
    Over(LossReason, String),
}

impl Phase {
    /// What is known of the job, and the state that SLURM printed last.
    pub(super) fn of(job: &SlurmJob, raw: Option<&str>) -> Self {
        if job.status().is_live() && job.restarts() > job.lease_restarts() {
            return Self::Over(
                LossReason::Requeued,
                "SLURM has put its job back into the queue; it goes on from its latest checkpoint."
                    .to_owned(),
            );
        }
        match job.status() {
            SlurmJobStatus::Absent | SlurmJobStatus::Intended | SlurmJobStatus::Pending => {
                Self::Waits
            }
            SlurmJobStatus::Running if raw == Some("SUSPENDED") => Self::Suspended,
            SlurmJobStatus::Running => Self::AtWork,
            SlurmJobStatus::Refused if job.cancel_requested() => Self::Over(
                LossReason::Withdrawn,
                "It was withdrawn before it was submitted.".to_owned(),
            ),
            SlurmJobStatus::Refused => Self::Over(
                LossReason::Refused,
                format!(
                    "Its cluster did not take it: {}. Mend that, then retry it.",
                    job.refusal().unwrap_or("it did not say why")
                ),
            ),
            SlurmJobStatus::Completed => Self::Over(
                LossReason::OutcomeUnknown,
                "Its SLURM job completed, but the run said no last word.".to_owned(),
            ),
            SlurmJobStatus::Failed => {
                let message = job
                    .failure()
                    .map_or_else(String::new, |failure| failure.message.clone());
                Self::Over(reason(job), message)
            }
        }
    }
}

/// Why the run of a job that failed is gone.
fn reason(job: &SlurmJob) -> LossReason {
    let state = job
        .failure()
        .and_then(|failure| failure.state.as_deref())
        .map(SlurmState::parse);
    match state {
        Some(SlurmState::Failed(failure)) => match failure {
            SlurmFailure::Cancelled if job.cancel_requested() => {
                if job.has_started() {
                    LossReason::Exited
                } else {
                    LossReason::Withdrawn
                }
            }
            SlurmFailure::Cancelled => LossReason::Cancelled,
            SlurmFailure::Deadline => LossReason::Refused,
            SlurmFailure::TimeLimit => LossReason::TimeLimit,
            SlurmFailure::OutOfMemory => LossReason::OutOfMemory,
            SlurmFailure::NodeFail | SlurmFailure::BootFail => LossReason::NodeFailed,
            SlurmFailure::Preempted => LossReason::Preempted,
            SlurmFailure::Failed => LossReason::Exited,
        },
        _ => LossReason::OutcomeUnknown,
    }
}
