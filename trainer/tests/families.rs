//! Every family against transformers, from what ops/make-tiny-models wrote: hooks, logits, cache, what is said of the files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use tch::{Device, Kind, Tensor};
use trainmaster_trainer::language_model::{
    Checkpoint, Family, HookPoint, KvCache, LanguageModel, LoadOptions, Site, inspect,
};

/// Each model, the architecture that it is registered as, and its parameters by transformers' count.
const MODELS: [(&str, &str, i64); 7] = [
    ("gpt2", "gpt2", 29_440),
    ("gpt2-untied", "gpt2", 13_424),
    ("pythia", "pythia", 23_072),
    ("gpt-neox-sequential", "gpt_neox", 20_896),
    ("phi", "phi", 20_924),
    ("phi-grouped", "phi", 29_852),
    ("llama-linear", "llama", 18_336),
];

const SITES: [(Site, &str); 4] = [
    (Site::AttentionOutput, "attention"),
    (Site::MlpInput, "mlp_input"),
    (Site::MlpOutput, "mlp"),
    (Site::Residual, "residual"),
];

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn model_directory(name: &str) -> PathBuf {
    tests("families").join(name)
}

fn load(path: &Path, kind: Kind) -> LanguageModel {
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

fn reference(name: &str) -> impl Fn(&str) -> Tensor {
    let path = tests("references").join(format!("{name}.safetensors"));
    let tensors = Tensor::read_safetensors(path).unwrap();
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

/// Every hook of both layers, asked for at once, and the logits.
fn errors(model: &LanguageModel, name: &str) -> Vec<(String, f64)> {
    let reference = reference(name);
    let tokens = reference("tokens");
    let cases: Vec<_> = [0, 1]
        .into_iter()
        .flat_map(|layer| SITES.map(|(site, what)| (HookPoint { layer, site }, what)))
        .collect();
    let points: Vec<_> = cases.iter().map(|(point, _)| *point).collect();
    let activations = model.activations(&tokens, &points).unwrap();
    assert_eq!(activations.len(), cases.len());
    let mut errors: Vec<_> = activations
        .iter()
        .zip(&cases)
        .map(|(ours, (point, what))| {
            let what = format!("{what}.{}", point.layer);
            let error = relative_error(ours, &reference(&what));
            (format!("{name}: {what}"), error)
        })
        .collect();
    let logits = relative_error(&model.logits(&tokens).unwrap(), &reference("logits"));
    errors.push((format!("{name}: logits"), logits));
    errors
}

#[test]
fn every_family_computes_what_transformers_computes() {
    for (name, _, _) in MODELS {
        for (what, error) in errors(&load(&model_directory(name), Kind::Float), name) {
            assert!(error < 1e-5, "{what}: relative error {error:e}");
        }
    }
}

#[test]
fn bf16_computes_nearly_the_same() {
    for (name, _, _) in MODELS {
        for (what, error) in errors(&load(&model_directory(name), Kind::BFloat16), name) {
            assert!((1e-6..0.05).contains(&error), "{what}: {error:e}");
        }
    }
}

#[test]
fn token_by_token_with_a_cache_computes_what_one_pass_computes() {
    for (name, _, _) in MODELS {
        let model = load(&model_directory(name), Kind::Float);
        let tokens = reference(name)("tokens");
        let whole = model.logits(&tokens).unwrap();
        let mut cache = KvCache::new(&model, 2, 40).unwrap();
        for new in [5, 1, 1, 33] {
            let piece = tokens.narrow(1, cache.length(), new);
            let logits = model
                .next_logits(&piece, &mut cache, &mut |_, _| Ok(None))
                .unwrap();
            let error = relative_error(&logits, &whole.select(1, cache.length() - 1));
            assert!(error < 1e-5, "{name} at {}: {error:e}", cache.length());
        }
    }
}

#[test]
fn the_logit_lens_is_the_part_of_the_head_that_is_linear() {
    for (name, _, _) in MODELS {
        let model = load(&model_directory(name), Kind::Float);
        let hidden = model.config().hidden_size;
        let direction = Tensor::randn([hidden], (Kind::Float, Device::Cpu));
        let tokens = Tensor::from_slice(&[3_i64]).view([1, 1]);
        let last = HookPoint {
            layer: 1,
            site: Site::Residual,
        };
        let logits_of = |residual: &Tensor| {
            let logits = model.logits_with(&tokens, &mut |point, activation| {
                Ok((point == last).then(|| residual.expand_as(activation)))
            });
            logits.unwrap().view(-1)
        };
        // A direction and its opposite differ by twice what is linear; biases cancel.
        let size = 1e4;
        let difference = logits_of(&(&direction * size)) - logits_of(&(&direction * -size));
        let is_layer_norm = name != "llama-linear";
        let centred = if is_layer_norm {
            &direction - direction.mean(Kind::Float)
        } else {
            direction.shallow_clone()
        };
        let scale = centred.square().mean(Kind::Float).sqrt();
        let promoted = model.promoted(&direction.unsqueeze(0)).unwrap().get(0);
        let error = relative_error(&(promoted * 2.0 / scale), &difference);
        assert!(error < 1e-4, "{name}: {error:e}");
    }
}

#[test]
fn hooks_have_the_names_of_transformer_lens_and_transformers() {
    let point = |site| HookPoint { layer: 3, site };
    let names = SITES.map(|(site, _)| point(site).name());
    assert_eq!(
        names,
        [
            "blocks.3.hook_attn_out",
            "blocks.3.mlp.hook_in",
            "blocks.3.hook_mlp_out",
            "blocks.3.hook_resid_post"
        ]
    );
    for (family, attention) in [
        (Family::Llama, "model.layers.3.self_attn"),
        (Family::Gpt2, "transformer.h.3.attn"),
        (Family::GptNeox, "gpt_neox.layers.3.attention"),
        (Family::Phi, "model.layers.3.self_attn"),
    ] {
        let name = point(Site::AttentionOutput).module_name(family);
        assert_eq!(name, attention);
        let layer = point(Site::Residual).module_name(family);
        assert_eq!(
            point(Site::MlpInput).module_name(family),
            format!("{layer}.mlp")
        );
        assert!(name.starts_with(&layer));
    }
}

#[test]
fn every_family_is_inspected() {
    for (name, architecture, parameters) in MODELS {
        let found = inspect(&model_directory(name), architecture, "FP32", Kind::Float).unwrap();
        assert_eq!(found.params_count, parameters, "{name}");
        let config = &found.architecture_config;
        assert_eq!(config["num_layers"], 2, "{name}");
        assert_eq!(config["vocab_size"], 60, "{name}");
        assert_eq!(config["max_position_embeddings"], 64, "{name}");
    }
    let of = |name: &str, architecture: &str| {
        let found = inspect(&model_directory(name), architecture, "FP32", Kind::Float);
        found.unwrap().architecture_config
    };
    let pythia = of("pythia", "pythia");
    assert_eq!(pythia["architecture"], "pythia");
    assert_eq!(pythia["rotary_dim"], 4);
    assert_eq!(pythia["use_parallel_residual"], true);
    let gpt2 = of("gpt2", "gpt2");
    assert_eq!(gpt2["intermediate_size"], 128);
    assert_eq!(gpt2["rope_theta"], Value::Null);
    assert_eq!(of("phi-grouped", "phi")["num_key_value_heads"], 2);
    let error = inspect(&model_directory("phi"), "llama", "FP32", Kind::Float).unwrap_err();
    assert_eq!(error.code(), "registered_otherwise");
    assert!(error.to_string().contains("phi"), "{error}");
}

/// A copy of a model whose configuration is edited.
fn edited(name: &str, edit: impl FnOnce(&mut serde_json::Map<String, Value>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let from = model_directory(name);
    fs::copy(
        from.join("model.safetensors"),
        copy.path().join("model.safetensors"),
    )
    .unwrap();
    let text = fs::read_to_string(from.join("config.json")).unwrap();
    let mut config = serde_json::from_str(&text).unwrap();
    edit(&mut config);
    fs::write(
        copy.path().join("config.json"),
        serde_json::to_string(&config).unwrap(),
    )
    .unwrap();
    copy
}

#[test]
fn configurations_of_transformers_4_say_the_same() {
    let theirs = |path: &Path| Checkpoint::open(path).unwrap().config().clone();
    let pythia = edited("pythia", |config| {
        config.remove("rope_parameters");
        config.insert("rotary_pct".to_owned(), json!(0.25));
        config.insert("rotary_emb_base".to_owned(), json!(10_000));
    });
    assert_eq!(theirs(pythia.path()), theirs(&model_directory("pythia")));
    let sequential = edited("gpt-neox-sequential", |config| {
        config.remove("rope_parameters");
        config.insert("rotary_pct".to_owned(), json!(0.5));
        config.insert("rotary_emb_base".to_owned(), json!(500));
        config.insert(
            "rope_scaling".to_owned(),
            json!({ "type": "linear", "factor": 3.0 }),
        );
    });
    assert_eq!(
        theirs(sequential.path()),
        theirs(&model_directory("gpt-neox-sequential"))
    );
    let phi = edited("phi", |config| {
        config.remove("rope_parameters");
        config.insert("partial_rotary_factor".to_owned(), json!(0.5));
        config.insert("rope_theta".to_owned(), json!(10_000.0));
        config.insert("rope_scaling".to_owned(), Value::Null);
    });
    assert_eq!(theirs(phi.path()), theirs(&model_directory("phi")));
}

/// The files of GPT-2 as it was released name their weights without the prefix, and hold masks beside them.
#[test]
fn weights_that_were_saved_without_the_head_are_found() {
    let copy = edited("gpt2", |_| {});
    let path = copy.path().join("model.safetensors");
    let mut bare: Vec<_> = Tensor::read_safetensors(&path)
        .unwrap()
        .into_iter()
        .map(|(name, weight)| (name.replace("transformer.", ""), weight))
        .collect();
    assert!(
        bare.iter()
            .any(|(name, _)| name == "h.0.attn.c_attn.weight")
    );
    let mask = Tensor::ones([1, 1, 64, 64], (Kind::Float, Device::Cpu));
    bare.push(("h.0.attn.bias".to_owned(), mask));
    Tensor::write_safetensors(&bare, &path).unwrap();
    for (what, error) in errors(&load(copy.path(), Kind::Float), "gpt2") {
        assert!(error < 1e-5, "{what}: relative error {error:e}");
    }
    let found = inspect(copy.path(), "gpt2", "FP32", Kind::Float).unwrap();
    assert_eq!(found.params_count, 29_440);
}

#[test]
fn learned_positions_end() {
    let model = load(&model_directory("gpt2"), Kind::Float);
    let tokens = Tensor::zeros([1, 65], (Kind::Int64, Device::Cpu));
    let hook = HookPoint {
        layer: 0,
        site: Site::Residual,
    };
    assert!(model.activations(&tokens.narrow(1, 0, 64), &[hook]).is_ok());
    for error in [
        model.activations(&tokens, &[hook]).unwrap_err(),
        model.logits(&tokens).unwrap_err(),
        KvCache::new(&model, 1, 65).err().unwrap(),
    ] {
        assert_eq!(error.code(), "sequence_too_long");
        assert!(error.to_string().contains("64"), "{error}");
    }
    let pythia = load(&model_directory("pythia"), Kind::Float);
    assert!(pythia.logits(&tokens).is_ok());
}

#[test]
fn what_is_built_otherwise_is_refused_with_the_reason() {
    for (name, field, value, reason) in [
        ("phi", "model_type", json!("phi3"), "Phi-3"),
        ("phi", "model_type", json!("mamba"), "mamba"),
        ("phi", "qk_layernorm", json!(true), "qk_layernorm"),
        ("phi", "hidden_act", json!("swish"), "swish"),
        (
            "gpt2",
            "scale_attn_by_inverse_layer_idx",
            json!(true),
            "scaled",
        ),
        ("gpt2", "add_cross_attention", json!(true), "cross"),
        ("pythia", "hidden_act", json!("gelu_fast"), "gelu_fast"),
    ] {
        let copy = edited(name, |config| {
            config.insert(field.to_owned(), value);
        });
        let error = Checkpoint::open(copy.path()).err().unwrap();
        assert_eq!(error.code(), "unsupported", "{name}: {field}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    for (name, field, value) in [
        ("gpt2", "n_head", json!(5)),
        ("pythia", "num_attention_heads", json!(0)),
        ("pythia", "num_hidden_layers", json!(1_000_000)),
        ("phi", "hidden_size", json!("wide")),
    ] {
        let copy = edited(name, |config| {
            config.insert(field.to_owned(), value);
        });
        let error = Checkpoint::open(copy.path()).err().unwrap();
        assert_eq!(error.code(), "file_malformed", "{name}: {field}");
    }
}
