//! Files of language models that were found by fuzzing, or given to it to begin with, replayed: see `ops/fuzz`.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../../fuzz/src/model.rs"]
mod model;

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
    assert!(inputs >= 2, "{target}: {inputs} inputs");
}

#[test]
fn gguf() {
    replay("gguf", model::gguf);
}

#[test]
fn safetensors() {
    replay("safetensors", model::safetensors);
}
