//! Extraction of features, against what a direct computation over all latents finds, and through the real program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "extraction/dense.rs"]
mod dense;
#[path = "run/directory.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod directory;
#[path = "extraction/fixture.rs"]
mod fixture;
#[path = "extraction/program.rs"]
mod program;
