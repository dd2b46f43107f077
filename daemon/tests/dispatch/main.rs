//! From a task in the outbox to a run, and from the run's journal to events.
//!
//! The trainer is a stand-in: a shell script that keeps the run contract and waits where a test tells it to, because these tests are
//! about moments that a real training passes in microseconds.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod adoption;
mod detectors;
mod fixture;
mod hosts;
mod journal;
mod line;
mod queue;
mod relay;
mod requests;
mod slots;
