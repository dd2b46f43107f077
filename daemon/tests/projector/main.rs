//! Read models keep up with the log, each event counting once, and can be built anew while they are read.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod cluster;
mod document;
mod fixture;
mod following;
mod importing;
mod one_of_two;
mod poison;
mod property;
mod reading;
mod rebuilding;
mod verifying;
