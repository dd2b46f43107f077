//! What happens in trainmaster: commands, events, the state machines that connect them, and the contract between the
//! daemon and the trainer. Pure: no I/O, no clock, no randomness; whatever a decision needs is handed in.

pub mod attempt;
pub mod cross_validation;
pub mod dataset;
pub mod envelope;
pub mod extraction_template;
pub mod feature;
pub mod hub;
pub mod hyperparameters;
pub mod id;
pub mod job;
pub mod kept;
pub mod lease;
pub mod model;
pub mod preset;
pub mod run;
pub mod segmentation;
pub mod slurm;
pub mod task;
pub mod training;
pub mod training_template;
mod upcast;

pub use envelope::{
    Aggregate, Category, Event, FINGERPRINT, Metadata, Position, RecordedEvent, StreamId,
};
pub use lease::Lease;
pub use task::Task;
