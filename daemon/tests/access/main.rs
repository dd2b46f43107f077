//! Who may do what in the database, and how it is watched.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod fixture;
mod monitoring;
mod privileges;
