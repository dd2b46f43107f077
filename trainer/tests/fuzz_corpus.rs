//! Files of language models, and images, that were found by fuzzing, or given to it to begin with, and some seconds of others like them: see `ops/fuzz`.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../../fuzz/src/image.rs"]
mod image;
#[path = "../../fuzz/src/model.rs"]
mod model;
#[path = "../../fuzz/src/mutate.rs"]
mod mutate;

use std::path::Path;

fn campaign(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    assert!(mutate::campaign(&corpus.join(target), run) > 10);
}

#[test]
fn gguf() {
    campaign("gguf", model::gguf);
}

#[test]
fn safetensors() {
    campaign("safetensors", model::safetensors);
}

#[test]
fn images() {
    campaign("image", image::image);
}
