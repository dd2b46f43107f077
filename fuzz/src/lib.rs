//! What each target does with its bytes. The same files are read by tests that replay the corpus on the stable toolchain.

#[cfg(feature = "projections")]
pub mod artifact;
pub mod control;
pub mod event;
#[cfg(feature = "trainer")]
pub mod image;
pub mod journal;
#[cfg(feature = "trainer")]
pub mod model;
pub mod spec;
