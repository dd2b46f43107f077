//! Our forward pass against transformers', from reference values that ops/make-tiny-llama and ops/make-reference-values wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{ops::ControlFlow, path::Path};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::Hook;
use trainmaster_trainer::language_model::{HookPoint, LanguageModel, LoadOptions};

const HOOKS: [(Hook, &str); 3] = [
    (Hook::Residual, "residual"),
    (Hook::Mlp, "mlp"),
    (Hook::Attention, "attention"),
];

fn tests(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn load(path: &Path, kind: Kind, layers: Option<usize>) -> LanguageModel {
    let options = LoadOptions {
        device: Device::Cpu,
        kind,
        layers,
    };
    LanguageModel::load(path, options, &mut |_, _| ControlFlow::Continue(()))
        .expect("the model loads")
}

fn reference(file: &str) -> impl Fn(&str) -> Tensor {
    let tensors = Tensor::read_safetensors(tests("references").join(file))
        .expect("the reference values are read");
    move |name| {
        let found = tensors.iter().find(|(key, _)| key == name);
        found
            .unwrap_or_else(|| panic!("a reference value {name}"))
            .1
            .shallow_clone()
    }
}

/// ‖ours − theirs‖ / ‖theirs‖ over all elements.
fn relative_error(ours: &Tensor, theirs: &Tensor) -> f64 {
    assert_eq!(ours.size(), theirs.size());
    let (ours, theirs) = (ours.to_kind(Kind::Double), theirs.to_kind(Kind::Double));
    f64::try_from((&ours - &theirs).norm() / theirs.norm()).unwrap()
}

fn agrees_on_the_tiny_llama(path: &str, file: &str) {
    let model = load(&tests(path), Kind::Float, None);
    let reference = reference(file);
    let tokens = reference("tokens");
    for layer in 0..4 {
        for (hook, name) in HOOKS {
            let ours = model
                .activations(&tokens, &[HookPoint { layer, hook }])
                .unwrap();
            let error = relative_error(&ours[0], &reference(&format!("{name}.{layer}")));
            assert!(
                error < 1e-5,
                "{name} of layer {layer}: relative error {error:e}"
            );
        }
    }
    let error = relative_error(&model.logits(&tokens).unwrap(), &reference("logits"));
    assert!(error < 1e-5, "logits: relative error {error:e}");
}

#[test]
fn a_hugging_face_directory_computes_what_transformers_computes() {
    agrees_on_the_tiny_llama("tiny-llama", "tiny-llama.safetensors");
}

#[test]
fn a_gguf_file_of_every_kind_of_block_computes_what_transformers_computes() {
    agrees_on_the_tiny_llama("tiny-llama-gguf", "tiny-llama-gguf.safetensors");
}
