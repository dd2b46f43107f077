//! What was found by fuzzing, or given to it to begin with, replayed: see `ops/fuzz`.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../../fuzz/src/control.rs"]
mod control;
#[path = "../../fuzz/src/event.rs"]
mod event;
#[path = "../../fuzz/src/journal.rs"]
mod journal;
#[path = "../../fuzz/src/spec.rs"]
mod spec;

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 3, "{target}: {inputs} inputs");
}

#[test]
fn events() {
    replay("event", event::run);
}

#[test]
fn journals() {
    replay("journal", journal::run);
}

#[test]
fn specs() {
    replay("spec", spec::run);
}

#[test]
fn requests() {
    replay("control", control::run);
}
