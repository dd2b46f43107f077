//! Files of language models, as the trainer looks at them: everything that it does before it reads weights.

use std::{cell::RefCell, fs, path::Path};
use tempfile::TempDir;
use trainmaster_trainer::{language_model::inspect, tokenizer::Tokenizer};

thread_local! {
    static DIRECTORY: RefCell<TempDir> = RefCell::new(directory());
}

/// In memory, where there is such a place.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .expect("a temporary directory")
}

fn look(path: &Path) {
    for quantization in ["FP32", "Q4"] {
        let _ = inspect(path, "llama", quantization, tch::Kind::Float);
    }
    let _ = Tokenizer::open(path);
}

/// A GGUF file: header, metadata, names and shapes of weights, vocabulary.
pub fn gguf(data: &[u8]) {
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path().join("model.gguf");
        fs::write(&path, data).expect("a file can be written");
        look(&path);
    });
}

/// A Hugging Face directory: `config.json` up to the first NUL, the safetensors file after it.
pub fn safetensors(data: &[u8]) {
    let (config, weights) = data
        .iter()
        .position(|byte| *byte == 0)
        .map_or((data, [].as_slice()), |end| {
            (&data[..end], &data[end + 1..])
        });
    DIRECTORY.with_borrow(|directory| {
        let path = directory.path();
        fs::write(path.join("config.json"), config).expect("a file can be written");
        fs::write(path.join("model.safetensors"), weights).expect("a file can be written");
        let _ = inspect(path, "llama", "FP32", tch::Kind::Float);
    });
}
