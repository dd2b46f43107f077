//! The trainmaster daemon as a library, so that tests and benches reach its parts.

pub mod config;
pub mod database;
pub mod log;
pub mod migrate;
pub mod projector;
pub mod telemetry;
