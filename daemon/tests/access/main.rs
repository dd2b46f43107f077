//! Who may do what in the database, and how it is watched.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod encryption;
mod fixture;
mod monitoring;
mod pooling;
mod privileges;
mod server;
