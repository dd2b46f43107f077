//! The log keeps its promises.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod append_only;
mod archive;
mod artifacts;
mod commands;
mod fixture;
mod head;
mod migrations;
mod order;
mod restore;
mod snapshots;
mod verify;
