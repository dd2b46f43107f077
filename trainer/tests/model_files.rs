//! Inspecting and loading models: what is found in good files, what is said of bad ones.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::run::journal::FailureClass;
use trainmaster_trainer::language_model::{
    HookPoint, LanguageModel, LanguageModelError, LoadOptions, Site, inspect,
};

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn tiny() -> PathBuf {
    tests("tiny-llama")
}

fn tiny_gguf() -> PathBuf {
    tests("tiny-llama-gguf/tiny-llama.gguf")
}

/// A copy of the tiny model to damage.
fn copy_of_tiny() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(tiny().join(name), copy.path().join(name)).unwrap();
    }
    copy
}

fn edit_config(
    directory: &Path,
    edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
) {
    let path = directory.join("config.json");
    let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    edit(&mut config);
    fs::write(path, serde_json::to_string(&config).unwrap()).unwrap();
}

fn load(
    path: &Path,
    kind: Kind,
    layers: Option<usize>,
) -> Result<LanguageModel, LanguageModelError> {
    let options = LoadOptions {
        device: Device::Cpu,
        kind,
        layers,
    };
    LanguageModel::load(path, options, &mut |_, _| ControlFlow::Continue(()))
}

fn residual(model: &LanguageModel, layer: usize) -> Tensor {
    let tokens = Tensor::from_slice(&[1_i64, 40, 300, 511, 7, 7]).view([2, 3]);
    model
        .activations(
            &tokens,
            &[HookPoint {
                layer,
                site: Site::Residual,
            }],
        )
        .unwrap()
        .remove(0)
}

fn relative_error(ours: &Tensor, exact: &Tensor) -> f64 {
    f64::try_from((ours - exact).norm() / exact.norm()).unwrap()
}

fn code_of_inspecting(path: &Path) -> String {
    let failure = inspect(path, "llama", "FP16", Kind::Float)
        .unwrap_err()
        .failure();
    assert_eq!(failure.class, FailureClass::Workload);
    failure.code
}

#[test]
fn a_hugging_face_directory_is_inspected() {
    let found = inspect(&tiny(), "llama", "FP16", Kind::Float).unwrap();
    // The embedding; in each layer two norms, queries and output, keys and values, the MLP's three; the last norm.
    assert_eq!(
        found.params_count,
        512 * 64 + 4 * (2 * 64 + 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 128) + 64
    );
    assert!(found.memory_required_bytes > 4 * found.params_count);
    assert!(found.disk_size_bytes > 2 * found.params_count);
    let config = &found.architecture_config;
    assert_eq!(config["num_layers"], 4);
    assert_eq!(config["hidden_size"], 64);
    assert_eq!(config["num_key_value_heads"], 2);
    assert_eq!(config["vocab_size"], 512);
    assert_eq!(config["rope_theta"], 10_000.0);
}

#[test]
fn a_gguf_file_is_inspected_as_the_same_model() {
    let directory = inspect(&tiny(), "llama", "FP16", Kind::Float).unwrap();
    let file = inspect(&tiny_gguf(), "llama", "Q4", Kind::Float).unwrap();
    assert_eq!(file.params_count, directory.params_count);
    assert_eq!(file.architecture_config, directory.architecture_config);
}

#[test]
fn a_directory_with_one_gguf_file_is_that_file() {
    let file = inspect(&tiny_gguf(), "llama", "Q4", Kind::Float).unwrap();
    let directory = inspect(&tests("tiny-llama-gguf"), "llama", "Q4", Kind::Float).unwrap();
    assert_eq!(file, directory);
}

#[test]
fn a_model_registered_as_something_else_is_refused() {
    let error = inspect(&tiny(), "gpt2", "FP16", Kind::Float).unwrap_err();
    assert_eq!(error.code(), "registered_otherwise");
    let error = inspect(&tiny(), "llama", "Q4", Kind::Float).unwrap_err();
    assert_eq!(error.code(), "registered_otherwise");
    assert!(
        error.to_string().contains("Q4") && error.to_string().contains("FP16"),
        "{error}"
    );
}

#[test]
fn missing_files_are_named() {
    assert_eq!(code_of_inspecting(&tests("no-such-model")), "file_missing");
    let copy = copy_of_tiny();
    fs::remove_file(copy.path().join("model.safetensors")).unwrap();
    let error = inspect(copy.path(), "llama", "FP16", Kind::Float).unwrap_err();
    assert_eq!(error.code(), "file_missing");
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    fs::remove_file(copy.path().join("config.json")).unwrap();
    assert_eq!(code_of_inspecting(copy.path()), "unsupported");
}

#[test]
fn a_file_cut_anywhere_is_truncated_or_malformed_and_never_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let whole = fs::read(tiny_gguf()).unwrap();
    let cut = directory.path().join("cut.gguf");
    for length in [
        0,
        3,
        4,
        11,
        24,
        100,
        5_000,
        30_000,
        whole.len() / 2,
        whole.len() - 1,
    ] {
        fs::write(&cut, &whole[..length]).unwrap();
        assert_eq!(
            code_of_inspecting(&cut),
            "file_truncated",
            "cut at {length}"
        );
    }
    let copy = copy_of_tiny();
    let weights = copy.path().join("model.safetensors");
    let whole = fs::read(&weights).unwrap();
    for length in [0, 7, 8, 500, whole.len() / 2, whole.len() - 1] {
        fs::write(&weights, &whole[..length]).unwrap();
        assert_eq!(
            code_of_inspecting(copy.path()),
            "file_truncated",
            "cut at {length}"
        );
    }
}

#[test]
fn a_file_of_something_else_is_malformed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("model.gguf");
    fs::write(&file, "Emma Woodhouse, handsome, clever, and rich").unwrap();
    assert_eq!(code_of_inspecting(&file), "file_malformed");
    let copy = copy_of_tiny();
    fs::write(copy.path().join("config.json"), "{").unwrap();
    assert_eq!(code_of_inspecting(copy.path()), "file_malformed");
}

#[test]
fn weights_that_do_not_fit_the_configuration_are_named() {
    let copy = copy_of_tiny();
    edit_config(copy.path(), |config| {
        config.insert("intermediate_size".to_owned(), 160.into());
    });
    let error = inspect(copy.path(), "llama", "FP16", Kind::Float).unwrap_err();
    assert_eq!(error.code(), "shape_mismatch");
    assert!(error.to_string().contains("gate_proj"), "{error}");
    let copy = copy_of_tiny();
    edit_config(copy.path(), |config| {
        config.insert("num_hidden_layers".to_owned(), 5.into());
    });
    assert_eq!(code_of_inspecting(copy.path()), "weight_missing");
    assert_eq!(
        load(copy.path(), Kind::Float, None).err().unwrap().code(),
        "weight_missing"
    );
}

#[test]
fn what_cannot_be_run_is_refused_rather_than_run_wrongly() {
    for (field, value) in [
        ("model_type", serde_json::json!("mamba")),
        ("hidden_act", serde_json::json!("gelu")),
        (
            "rope_parameters",
            serde_json::json!({ "rope_type": "yarn", "factor": 2.0 }),
        ),
    ] {
        let copy = copy_of_tiny();
        edit_config(copy.path(), |config| {
            config.insert(field.to_owned(), value);
        });
        assert_eq!(code_of_inspecting(copy.path()), "unsupported", "{field}");
    }
    for (field, value) in [
        ("num_attention_heads", 0),
        ("num_key_value_heads", 3),
        ("hidden_size", -64),
    ] {
        let copy = copy_of_tiny();
        edit_config(copy.path(), |config| {
            config.insert(field.to_owned(), value.into());
        });
        assert_eq!(code_of_inspecting(copy.path()), "file_malformed", "{field}");
    }
}

#[test]
fn loading_some_layers_computes_the_same_as_loading_all() {
    let whole = load(&tiny(), Kind::Float, None).unwrap();
    let part = load(&tiny(), Kind::Float, Some(2)).unwrap();
    assert_eq!(residual(&whole, 1), residual(&part, 1));
    let tokens = Tensor::from_slice(&[1_i64, 2]).view([1, 2]);
    let beyond = part
        .activations(
            &tokens,
            &[HookPoint {
                layer: 2,
                site: Site::MlpOutput,
            }],
        )
        .unwrap_err();
    assert_eq!(beyond.code(), "no_such_layer");
    assert_eq!(part.logits(&tokens).unwrap_err().code(), "no_such_layer");
    assert_eq!(
        load(&tiny(), Kind::Float, Some(5)).err().unwrap().code(),
        "no_such_layer"
    );
}

#[test]
fn weights_in_several_files_are_found_through_the_index() {
    let copy = copy_of_tiny();
    let weights = Tensor::read_safetensors(tiny().join("model.safetensors")).unwrap();
    let (first, second) = weights.split_at(weights.len() / 2);
    let mut map = serde_json::Map::new();
    for (name, shard) in [("a.safetensors", first), ("b.safetensors", second)] {
        let floats: Vec<_> = shard
            .iter()
            .map(|(name, weight)| (name, weight.to_kind(Kind::Float)))
            .collect();
        Tensor::write_safetensors(&floats, copy.path().join(name)).unwrap();
        map.extend(
            shard
                .iter()
                .map(|(weight, _)| (weight.clone(), name.into())),
        );
    }
    fs::remove_file(copy.path().join("model.safetensors")).unwrap();
    let index = serde_json::json!({ "metadata": {}, "weight_map": map });
    fs::write(
        copy.path().join("model.safetensors.index.json"),
        index.to_string(),
    )
    .unwrap();
    let sharded = load(copy.path(), Kind::Float, None).unwrap();
    assert_eq!(
        residual(&sharded, 3),
        residual(&load(&tiny(), Kind::Float, None).unwrap(), 3)
    );
    inspect(copy.path(), "llama", "FP32", Kind::Float).unwrap();
}

#[test]
fn bf16_computes_nearly_the_same() {
    let exact = residual(&load(&tiny(), Kind::Float, None).unwrap(), 3);
    let half = residual(&load(&tiny(), Kind::BFloat16, None).unwrap(), 3);
    assert_eq!(half.kind(), Kind::BFloat16);
    let error = relative_error(&half.to_kind(Kind::Float), &exact);
    assert!(error < 0.03, "relative error {error}");
}

#[test]
fn padding_at_the_end_changes_nothing_before_it() {
    let model = load(&tiny(), Kind::Float, Some(3)).unwrap();
    let hooks = [HookPoint {
        layer: 2,
        site: Site::Residual,
    }];
    let short = Tensor::from_slice(&[1_i64, 50, 60]).view([1, 3]);
    let padded = Tensor::from_slice(&[1_i64, 50, 60, 2, 2]).view([1, 5]);
    let short = model.activations(&short, &hooks).unwrap().remove(0);
    let padded = model
        .activations(&padded, &hooks)
        .unwrap()
        .remove(0)
        .narrow(1, 0, 3);
    assert!(relative_error(&padded, &short) < 1e-6);
}

#[test]
fn what_comes_later_changes_nothing_in_sequences_of_any_length() {
    let model = load(&tiny(), Kind::Float, Some(3)).unwrap();
    let hooks = [HookPoint {
        layer: 2,
        site: Site::Residual,
    }];
    let run = |length: i64| {
        let ids: Vec<i64> = (0..2 * 200).map(|at| at * 31 % 512).collect();
        let tokens = Tensor::from_slice(&ids).view([2, 200]).narrow(1, 0, length);
        model.activations(&tokens, &hooks).unwrap().remove(0)
    };
    let whole = run(200);
    for length in [1, 63, 64, 65, 150] {
        let error = relative_error(&run(length), &whole.narrow(1, 0, length));
        assert!(error < 1e-6, "length {length}: {error:e}");
    }
}

#[test]
fn several_hooks_come_back_in_the_order_asked_for() {
    let model = load(&tiny(), Kind::Float, None).unwrap();
    let tokens = Tensor::from_slice(&[1_i64, 50, 60]).view([1, 3]);
    let point = |layer, site| HookPoint { layer, site };
    let hooks = [
        point(2, Site::MlpOutput),
        point(0, Site::Residual),
        point(2, Site::AttentionOutput),
        point(2, Site::MlpOutput),
    ];
    let together = model.activations(&tokens, &hooks).unwrap();
    assert_eq!(together.len(), 4);
    for (activation, hook) in together.iter().zip(hooks) {
        assert_eq!(*activation, model.activations(&tokens, &[hook]).unwrap()[0]);
    }
    assert!(model.activations(&tokens, &[]).unwrap().is_empty());
}

#[test]
fn a_token_beyond_the_vocabulary_is_an_error_not_a_crash() {
    let model = load(&tiny(), Kind::Float, Some(1)).unwrap();
    let tokens = Tensor::from_slice(&[512_i64]).view([1, 1]);
    let hooks = [HookPoint {
        layer: 0,
        site: Site::Residual,
    }];
    assert_eq!(
        model.activations(&tokens, &hooks).unwrap_err().code(),
        "internal"
    );
}

#[test]
fn loading_can_be_watched_and_cancelled() {
    let mut seen = Vec::new();
    let options = LoadOptions {
        device: Device::Cpu,
        kind: Kind::Float,
        layers: None,
    };
    let model = LanguageModel::load(&tiny(), options, &mut |done, all| {
        seen.push((done, all));
        ControlFlow::Continue(())
    });
    assert!(model.is_ok());
    assert_eq!(seen.last(), Some(&(38, 38)));
    let cancelled = LanguageModel::load(&tiny(), options, &mut |_, _| ControlFlow::Break(()));
    assert_eq!(cancelled.err().unwrap().code(), "cancelled");
}
