//! What the tests of quantisation have in common: the models, and how they are quantised.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::model::Quantization;
use trainmaster_trainer::language_model::{
    Checkpoint, LanguageModel, LoadOptions, QuantizedFiles, quantize,
};

pub const ALL: [Quantization; 5] = [
    Quantization::Fp32,
    Quantization::Fp16,
    Quantization::Int8,
    Quantization::Q8,
    Quantization::Q4,
];

/// One of each family; phi's, of 48 columns, do not fill whole blocks.
pub const MODELS: [&str; 6] = [
    "tiny-llama",
    "families/gpt2",
    "families/pythia",
    "families/phi",
    "families/phi-grouped",
    "families/llama-linear",
];

pub fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

pub fn load(path: &Path, kind: Kind) -> LanguageModel {
    // Tiny products are slower on several threads, and tests run side by side.
    tch::set_num_threads(1);
    let options = LoadOptions {
        device: Device::Cpu,
        kind,
        layers: None,
    };
    LanguageModel::load(path, options, &mut |_, _| ControlFlow::Continue(()))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A model, quantised into a directory of its own.
pub fn quantized(model: &Path, to: Quantization) -> (tempfile::TempDir, QuantizedFiles) {
    let directory = tempfile::tempdir().unwrap();
    let source = Checkpoint::open(model).unwrap();
    let files = quantize(&source, to, directory.path(), &mut |_, _| {
        ControlFlow::Continue(())
    });
    (directory, files.unwrap())
}

pub fn tokens(model: &LanguageModel) -> Tensor {
    let ids: Vec<i64> = (0..2 * 40)
        .map(|at| at * 7 % model.config().vocab_size)
        .collect();
    Tensor::from_slice(&ids).view([2, 40])
}
