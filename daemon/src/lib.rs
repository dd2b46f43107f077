//! The trainmaster daemon as a library, so that tests and benches reach its parts.

pub mod cli;
pub mod commands;
pub mod config;
pub mod database;
pub mod dispatch;
pub mod doctor;
pub mod heartbeat;
pub mod http;
pub mod leftovers;
pub mod lifecycle;
pub mod log;
pub mod migrate;
pub mod outbox;
pub mod postgres;
pub mod progress;
pub mod projector;
pub mod queries;
pub mod queue;
pub mod report;
pub mod retention;
pub mod runner;
pub mod serve;
pub mod state_directory;
pub mod supervisor;
pub mod telemetry;
