//! Backups, and going back to them.
//!
//! A *logical* backup is a dump of the log and of what belongs to it: small, of one moment, and restorable into any PostgreSQL that is not
//! older. The read models are left out unless asked for, because they are functions of the log and of the files of runs; the daemon
//! makes them anew. A *physical* one is a copy of the cluster, from which the archived write-ahead log leads to any later moment.
//!
//! Each is a directory that is there whole or not at all, with a manifest that says what it holds and by which hashes. A restore builds
//! beside what is live, proves it there, and swaps; until then nothing that is live has changed.

mod artifacts;
mod compare;
mod create;
mod error;
mod logical;
mod manifest;
mod own_server;
mod physical;
mod programs;
mod progress;
mod prune;
mod restore;
mod store;
mod target;
mod verify;
mod wal;

pub use compare::{Compared, put_aside};
pub use create::{Request, create};
pub use error::BackupError;
pub use manifest::{Head, Kind, Manifest};
pub use progress::{Progress, Stage};
pub use prune::{Pruned, prune};
pub use restore::{Restore, Restored, prepare};
pub use store::{Selection, Store};
pub use target::Target;
pub use verify::{Verified, verify};
pub use wal::{Archive, archive};
