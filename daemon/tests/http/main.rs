//! The HTTP interface against a real Postgres: what it answers, and what it answers to nonsense.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod access;
mod autoencoders;
mod bad_input;
mod client;
mod deletion;
mod events;
mod features;
mod fixture;
mod health;
mod history;
mod idempotency;
mod images;
mod images_client;
mod jobs;
mod kept;
mod log;
mod openapi;
mod reads;
mod register;
mod report;
mod retention;
mod search;
mod slurm;
mod work;
