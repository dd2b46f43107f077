//! Events to rows: one module a read model, one file a table.
//!
//! A read model is a function of the log: the same events give the same rows, ids and timestamps included, whatever batches
//! they come in. So nothing here looks at a clock, at randomness or at a sequence of the database. The caller owns the
//! transaction, its `search_path` and the position that it commits with the rows.

mod artifact;
mod copy;
mod error;
mod fold;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod mistudio;
mod pic;
mod projection;
mod read_model;
mod serials;
mod value;

pub use error::ApplyError;
pub use projection::{Applying, Imports, Loaded, Projection};
pub use read_model::{ReadModel, UnknownReadModel};
pub use serials::Serials;
