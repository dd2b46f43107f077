//! What a run has to say beside its journal: lines of `trainer.log`.

use std::{
    fmt::Display,
    io::{self, Write},
};

/// Says it on standard error, if that can be had. `eprintln!` panics where the disk is full, and the run with it.
pub(crate) fn remark(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
