//! Attempts: claims, leases, crashes and retries, which datasets, models and trainings have in common.

use crate::{
    Lease,
    run::journal::{Failure, FailureClass, JournalRecord},
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The longest wait before an attempt, whatever the settings say. What is further off was said by a clock that was wrong, and is not
/// waited for.
pub const LONGEST_BACKOFF: TimeDelta = TimeDelta::days(1);

/// Who asks for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Host and a ULID that is fresh in each process of the daemon.
    pub worker_id: String,
    /// Host on which the run will live.
    pub host: String,
    /// `cpu` or `cuda:<n>`.
    pub device: String,
    /// Now, by the database's clock.
    pub now: DateTime<Utc>,
}

impl Claim {
    /// The number of the GPU, when the device is one.
    #[must_use]
    pub fn gpu_id(&self) -> Option<i32> {
        self.device
            .strip_prefix("cuda:")
            .and_then(|n| n.parse().ok())
    }
}

/// A lease was minted: payload of every `…Claimed` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// The new lease.
    pub lease: Lease,
    /// Who holds it.
    pub worker_id: String,
    /// Where the run lives.
    pub host: String,
    /// `cpu` or `cuda:<n>`.
    pub device: String,
    /// The number of the GPU, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu_id: Option<i32>,
}

/// A record of a run's journal, brought to the aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The line.
    pub line: JournalRecord,
    /// Now, by the database's clock.
    pub now: DateTime<Utc>,
    /// What to do when it is a failure.
    pub policy: RetryPolicy,
}

/// A lease's run is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The lease that is lost.
    pub lease: Lease,
    /// How it is known.
    pub reason: LossReason,
    /// A sentence for people.
    pub message: String,
    /// Now, by the database's clock.
    pub now: DateTime<Utc>,
    /// What to do about it.
    pub policy: RetryPolicy,
}

/// How it is known that a run is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// The process ended without a word.
    Exited,
    /// The process could not be started.
    NotStarted,
    /// No heartbeat within the limit: dead, or its machine is.
    NoHeartbeat,
    /// Heartbeats, but no progress within the limit: hung.
    NoProgress,
    /// The kernel, or SLURM, ended it for want of memory.
    OutOfMemory,
    /// Its time limit was over.
    TimeLimit,
    /// Its node failed.
    NodeFailed,
    /// Another job took its place.
    Preempted,
    /// SLURM has put it back into its queue, where it waits for the next lease.
    Requeued,
    /// Somebody else cancelled it.
    Cancelled,
    /// It was taken out of the queue before it began, by request.
    Withdrawn,
    /// The cluster, or the template for it, refuses it: trying again helps only when that has changed.
    Refused,
    /// SLURM does not know it any more, and nothing proves that it succeeded.
    OutcomeUnknown,
}

impl LossReason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Exited,
        Self::NotStarted,
        Self::NoHeartbeat,
        Self::NoProgress,
        Self::OutOfMemory,
        Self::TimeLimit,
        Self::NodeFailed,
        Self::Preempted,
        Self::Requeued,
        Self::Cancelled,
        Self::Withdrawn,
        Self::Refused,
        Self::OutcomeUnknown,
    ];

    /// Whether it speaks against the run: what a scheduler did with it of its own accord is not counted as a crash, and not waited after.
    #[must_use]
    pub const fn is_crash(self) -> bool {
        !matches!(self, Self::Preempted | Self::Requeued | Self::Withdrawn)
    }

    /// Whether no further attempt is made before a person asks: somebody wanted it so, or it would only happen again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Cancelled | Self::Refused)
    }

    /// As events have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::NotStarted => "not_started",
            Self::NoHeartbeat => "no_heartbeat",
            Self::NoProgress => "no_progress",
            Self::OutOfMemory => "out_of_memory",
            Self::TimeLimit => "time_limit",
            Self::NodeFailed => "node_failed",
            Self::Preempted => "preempted",
            Self::Requeued => "requeued",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// A lease is void: payload of every `…LeaseExpired` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseExpired {
    /// The lease.
    pub lease: Lease,
    /// How it is known.
    pub reason: LossReason,
    /// A sentence for people.
    pub message: String,
}

/// Work failed: payload of every `…Failed` and `…Errored` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// The lease under which it failed.
    pub lease: Lease,
    /// The number of the journal's line that says so; 0 when the daemon says so.
    pub seq: u64,
    /// Stable, snake_case.
    pub code: String,
    /// A sentence that says what to do next.
    pub message: String,
}

/// Another attempt is to be made: payload of every `…Retried` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retried {
    /// Not before this time (back-off); none when a person asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// Whether the daemon decided it.
    pub automatic: bool,
}

/// How often and how fast lost runs are started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Losses in a row, without progress made durable between them, after which no further attempt is made.
    pub max_crashes: u32,
    /// Back-off after the first loss; doubled by each further one.
    pub backoff_initial_ms: u64,
    /// The longest back-off.
    pub backoff_max_ms: u64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_crashes: 5,
            backoff_initial_ms: 2_000,
            backoff_max_ms: 300_000,
        }
    }
}

impl RetryPolicy {
    /// What follows the `crashes`th loss in a row: another attempt, or none.
    #[must_use]
    pub fn next(&self, crashes: u32, now: DateTime<Utc>) -> Option<Retried> {
        if crashes > self.max_crashes {
            return None;
        }
        let doublings = crashes.saturating_sub(1).min(32);
        let wait_ms = self
            .backoff_initial_ms
            .saturating_mul(1 << doublings)
            .min(self.backoff_max_ms);
        let wait = TimeDelta::milliseconds(i64::try_from(wait_ms).unwrap_or(i64::MAX / 2))
            .min(LONGEST_BACKOFF);
        Some(Retried {
            not_before: now.checked_add_signed(wait),
            automatic: true,
        })
    }
}

/// What is known of the attempts at one piece of work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// The lease minted last; 0 before the first.
    pub lease: Lease,
    /// Whether its run is believed to live.
    pub live: bool,
    /// The holder of the lease.
    pub worker_id: Option<String>,
    /// Host of the run.
    pub host: Option<String>,
    /// Device of the run.
    pub device: Option<String>,
    /// The last line of the lease's journal that became an event.
    pub seq: u64,
    /// Losses in a row without progress made durable between them.
    pub crashes: u32,
    /// Attempts after the first.
    pub retries: u32,
    /// The next attempt waits until then.
    pub not_before: Option<DateTime<Utc>>,
}

/// Why a claim, a report or a loss is refused, whatever it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseRefusal {
    /// The lease has been superseded, or has ended.
    #[error("lease {given} is not the current one ({current}, {})", if *.live { "live" } else { "ended" })]
    Stale {
        /// What the report carries.
        given: Lease,
        /// The newest.
        current: Lease,
        /// Whether the newest is live.
        live: bool,
    },
    /// A retry's back-off is not over.
    #[error("the next attempt waits until {until}")]
    TooEarly {
        /// Its end.
        until: DateTime<Utc>,
    },
}

impl Attempts {
    /// Mints the next lease.
    ///
    /// # Errors
    /// [`LeaseRefusal::TooEarly`] during a back-off.
    pub fn claim(&self, claim: &Claim) -> Result<Claimed, LeaseRefusal> {
        match self.not_before {
            Some(until) if until > claim.now && until - claim.now <= LONGEST_BACKOFF => {
                Err(LeaseRefusal::TooEarly { until })
            }
            _ => Ok(Claimed {
                lease: self.lease.next(),
                worker_id: claim.worker_id.clone(),
                host: claim.host.clone(),
                device: claim.device.clone(),
                gpu_id: claim.gpu_id(),
            }),
        }
    }

    /// The fence: only the live, newest lease may speak.
    ///
    /// # Errors
    /// [`LeaseRefusal::Stale`].
    pub fn fence(&self, given: Lease) -> Result<(), LeaseRefusal> {
        if self.live && given == self.lease {
            Ok(())
        } else {
            Err(LeaseRefusal::Stale {
                given,
                current: self.lease,
                live: self.live,
            })
        }
    }

    /// Whether a line of the journal has become an event already.
    #[must_use]
    pub fn has_heard(&self, line: &JournalRecord) -> bool {
        line.lease == self.lease && line.seq <= self.seq
    }

    pub(crate) fn on_claimed(&mut self, claimed: &Claimed) {
        self.lease = claimed.lease;
        self.live = true;
        self.worker_id = Some(claimed.worker_id.clone());
        self.host = Some(claimed.host.clone());
        self.device = Some(claimed.device.clone());
        self.seq = 0;
        self.not_before = None;
    }

    /// A report became an event.
    pub(crate) fn on_heard(&mut self, seq: u64) {
        self.seq = self.seq.max(seq);
    }

    /// The run has ended by its own word.
    pub(crate) fn on_ended(&mut self, seq: u64) {
        self.on_heard(seq);
        self.live = false;
    }

    /// The run is gone without a word.
    pub(crate) fn on_lost(&mut self, reason: LossReason) {
        self.live = false;
        if reason.is_crash() {
            self.crashes = self.crashes.saturating_add(1);
        }
    }

    /// The run has ended by its own word, which was that it could not go on.
    pub(crate) fn on_broken(&mut self) {
        self.live = false;
        self.crashes = self.crashes.saturating_add(1);
    }

    pub(crate) fn on_retried(&mut self, retried: &Retried) {
        self.retries = self.retries.saturating_add(1);
        self.not_before = retried.not_before;
        if !retried.automatic {
            self.crashes = 0;
        }
    }

    /// What a run's own failure means: it fails, and is tried again when the infrastructure is to blame and the cap allows it.
    pub(crate) fn after_failure(
        &self,
        (lease, seq): (Lease, u64),
        failure: Failure,
        now: DateTime<Utc>,
        policy: RetryPolicy,
    ) -> AfterFailure {
        let failed = Failed {
            lease,
            seq,
            code: failure.code,
            message: failure.message,
        };
        match failure.class {
            FailureClass::Workload => AfterFailure::Final(failed),
            FailureClass::Infrastructure => {
                let crashes = self.crashes.saturating_add(1);
                match policy.next(crashes, now) {
                    Some(retried) => AfterFailure::Again(failed, retried),
                    None => AfterFailure::GivenUp(Failed {
                        seq,
                        ..poison(lease, crashes, &failed.message)
                    }),
                }
            }
        }
    }

    /// What the loss of a run means: its lease expires, and it is tried again or, past the cap, given up.
    ///
    /// # Errors
    /// [`LeaseRefusal::Stale`] when another lease has superseded it.
    pub(crate) fn after_loss(
        &self,
        loss: &Loss,
    ) -> Result<(LeaseExpired, Result<Retried, Failed>), LeaseRefusal> {
        self.fence(loss.lease)?;
        let expired = LeaseExpired {
            lease: loss.lease,
            reason: loss.reason,
            message: loss.message.clone(),
        };
        let next = if loss.reason.is_final() {
            Err(Failed {
                lease: loss.lease,
                seq: 0,
                code: loss.reason.name().to_owned(),
                message: format!("{} Retry it to go on.", loss.message),
            })
        } else if loss.reason.is_crash() {
            let crashes = self.crashes.saturating_add(1);
            loss.policy
                .next(crashes, loss.now)
                .ok_or_else(|| poison(loss.lease, crashes, &loss.message))
        } else {
            Ok(Retried {
                not_before: None,
                automatic: true,
            })
        };
        Ok((expired, next))
    }
}

/// What a failure that a run reports means.
pub(crate) enum AfterFailure {
    /// The same input would fail again.
    Final(Failed),
    /// Another attempt may succeed.
    Again(Failed, Retried),
    /// It might, but has not too often.
    GivenUp(Failed),
}

/// The code of work that was lost too often.
pub const POISON: &str = "poison";

/// The sentence that goes with [`POISON`].
fn poison(lease: Lease, crashes: u32, last: &str) -> Failed {
    Failed {
        lease,
        seq: 0,
        code: POISON.to_owned(),
        message: format!(
            "Given up after {crashes} losses in a row without progress; the last: {last} Look at the run's trainer.log, \
             then retry."
        ),
    }
}
