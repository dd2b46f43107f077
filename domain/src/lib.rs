//! What happens in trainmaster: commands, events, the state machines that connect them, and the contract between the
//! daemon and the trainer. Pure: no I/O, no clock, no randomness; whatever a decision needs is handed in.

pub mod hyperparameters;
pub mod id;
pub mod lease;
pub mod run;

pub use lease::Lease;
