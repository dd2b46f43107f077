//! SLURM's programs: called on a real cluster, and stood in for where it must be just so.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "slurm/poll.rs"]
mod poll;
#[path = "slurm/programs.rs"]
mod programs;
#[path = "slurm/real.rs"]
mod real;
#[path = "slurm/submission.rs"]
mod submission;
