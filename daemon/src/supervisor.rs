//! Looking after a run: its journal becomes events, its heartbeat is watched, what is asked of it is told to it, and its end
//! is known however it ends.
//!
//! Whatever a daemon knows of a run is in `dispatch.runs` or can be found again, so that the next daemon goes on from there
//! and every line of the journal becomes an event once: the command id of a report is made of the run, the lease and the
//! line's number.

mod adoption;
mod journal;
mod observation;
mod out_of_memory;
mod reports;
mod run;
mod watch;

pub use journal::{JournalReader, Line};
pub(crate) use observation::request_name;
pub(crate) use reports::has_result;
pub(crate) use run::{Origin, Run};
