//! The programs of SLURM, one file each.

mod sacct;
mod sbatch;
mod scancel;
mod scontrol;
mod squeue;

pub use sbatch::{Submit, output_pattern};
pub use squeue::{Lookup, Queued};
