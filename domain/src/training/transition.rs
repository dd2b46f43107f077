//! The transitions, a file each: what a command decides and what its events change, side by side. Each `on_…` says whether
//! the event may follow what happened before, and changes nothing when it may not.

mod claim;
mod complete;
mod delete;
mod evaluate;
mod fail;
mod lose_lease;
mod pause;
mod prune;
mod queue;
mod queue_segmentation;
mod record_metrics;
mod report;
mod resume;
mod retry;
mod save_checkpoint;
mod start;
mod stop;

pub(crate) use queue_segmentation::check_lengths;
