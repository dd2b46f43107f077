//! What the tests of every package share; the end-to-end tests themselves are in `tests/`.

pub mod artifacts;
pub mod fire;
pub mod history;
pub mod images;
pub mod lab;
pub mod postgres;
pub mod slurm;
