//! What happens in trainmaster: commands, events, the state machines that connect them, and the contract between the
//! daemon and the trainer. Pure: no I/O, no clock, no randomness; whatever a decision needs is handed in.

pub mod dataset;
pub mod envelope;
pub mod hyperparameters;
pub mod id;
pub mod lease;
pub mod model;
pub mod run;
pub mod training;

pub use envelope::{Aggregate, Event, Metadata, RecordedEvent, StreamId};
pub use lease::Lease;
