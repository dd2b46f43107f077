//! The run contract: all that the daemon and the trainer share is a directory.
//!
//! ```text
//! runs/<id>/
//!   spec.json                    what to do ([`spec::RunSpec`]); replaced (written beside, synced, renamed) by every claim
//!   journal.jsonl                what happened ([`journal::JournalRecord`], one JSON object a line), only ever appended to
//!   heartbeat                    the sign of life ([`journal::Heartbeat`]), replaced every `heartbeat_interval_ms`
//!   control                      what to do next ([`control::Control`]); absent: go on
//!   trainer.log                  standard output and error of the trainer, for people
//!   checkpoints/<step>-<lease>/  all that an exact continuation needs; announced only once it is durable
//!   result/                      what the run was for; announced only once it is durable
//!   slurm-job.<lease>            the SLURM job that has taken the lease, where one executes the run
//! ```
//!
//! The trainer is started as `trainmaster-trainer run <directory> --lease <n>` and leaves when `spec.json` carries another
//! lease (with [`EXIT_SUPERSEDED`], without a word). It exits 0 after a `completed`, `paused`, `stopped` or `failed` record: every outcome that it can speak of is in
//! the journal, so any other exit means that it could not speak (killed, out of memory).
//!
//! Where SLURM executes the run, its script runs `trainmaster-trainer slurm <submission directory>` ([`crate::slurm::tasks`]), which takes the lease from
//! `spec.json` and leaves `slurm-job.<lease>` with its job's id, so that a job that SLURM starts twice does the work once.
//!
//! Each line of the journal is one `write` of at most [`journal::MAX_LINE_BYTES`] to a file opened for appending, numbered
//! from 1 without gaps within its lease. A trainer that finds the file not ending in a newline (its predecessor died in
//! mid-write) first writes one; a line that is not a record is skipped by the reader.

pub mod artifact;
pub mod control;
pub mod journal;
pub mod spec;

/// The version of this contract; a trainer refuses a spec of another.
pub const CONTRACT_VERSION: u32 = 1;

/// The exit status of a trainer that leaves because `spec.json` carries another lease, or is gone.
pub const EXIT_SUPERSEDED: i32 = 3;

/// The exit status, where SLURM executes the run, of a trainer whose last word was `failed`: SLURM's own account then says so too.
pub const EXIT_FAILED: i32 = 1;

/// The exit status of a trainer that SLURM had leave, by SIGTERM or at its time limit: what can be gone on from is saved, and why it left is
/// SLURM's to say.
pub const EXIT_LEFT: i32 = 5;

/// The exit status of a trainer that SLURM started again, and that the daemon did not hand the run to in time.
pub const EXIT_NOT_HANDED_OVER: i32 = 6;
