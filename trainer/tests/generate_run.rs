//! A run that writes text: what its journal says, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with the tests of other runs")]
#[path = "run/directory.rs"]
mod directory;

use directory::{RunDirectory, model};
use serde_json::json;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::{Hook, HookSite};
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{CompletionEnd, Generated, Record, Variant};
use trainmaster_domain::run::spec::{Generate, Sampling, SteeredFeature, Steering, Work};
use trainmaster_trainer::{
    tensor_file::{TensorFile, write_tensors},
    tokenizer::Tokenizer,
};

/// Latents of the autoencoder that tests steer with.
const LATENTS: i64 = 8;

fn wanted() -> Generate {
    Generate {
        model_path: model(),
        prompt: "Emma Woodhouse, handsome, clever,".into(),
        chat: false,
        sampling: Sampling {
            max_new_tokens: 20,
            temperature: 1.0,
            ..Sampling::default()
        },
        steering: None,
    }
}

fn site(layer: u32) -> HookSite {
    HookSite {
        layer,
        hook: Hook::Residual,
    }
}

/// An autoencoder as SAELens keeps it, whose latent `row` writes a token's own direction.
fn autoencoder(directory: &Path, row: i64, token: i64) {
    std::fs::create_dir_all(directory).unwrap();
    let model = TensorFile::open(&Path::new(&model()).join("model.safetensors")).unwrap();
    let embedding = model
        .tensor("model.embed_tokens.weight", &[512, 64])
        .unwrap()
        .to_kind(Kind::Float);
    let centred = &embedding - embedding.mean_dim(0_i64, true, Kind::Float);
    let direction = centred.get(token);
    let decoder = Tensor::zeros([LATENTS, 64], (Kind::Float, Device::Cpu));
    decoder.get(row).copy_(&(&direction / direction.norm()));
    write_tensors(
        &directory.join("sae_weights.safetensors"),
        &[
            ("W_enc", &decoder.tr().contiguous()),
            (
                "b_enc",
                &Tensor::zeros([LATENTS], (Kind::Float, Device::Cpu)),
            ),
            ("W_dec", &decoder),
            ("b_dec", &Tensor::zeros([64], (Kind::Float, Device::Cpu))),
        ],
    )
    .unwrap();
    let configuration = json!({
        "architecture": "standard", "d_in": 64, "d_sae": LATENTS, "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": true, "normalize_activations": "none", "reshape_activations": "none",
        "metadata": { "sae_lens_version": "6.0.0", "hook_name": "blocks.3.hook_resid_post" },
    });
    std::fs::write(directory.join("cfg.json"), configuration.to_string()).unwrap();
}

fn steering(run: &RunDirectory, neuron_index: i64, coefficient: f64) -> Steering {
    let result = run.path().join("autoencoder");
    Steering {
        autoencoder_sha256: run.hash(&result),
        autoencoder_path: result.to_string_lossy().into_owned(),
        sites: vec![site(3)],
        layer: 3,
        features: vec![SteeredFeature {
            feature_id: 1_000 + neuron_index,
            neuron_index,
            coefficient,
            max_activation: 1_000.0,
        }],
    }
}

fn generated(run: &RunDirectory, lease: u64, work: Generate) -> Generated {
    run.spec(lease, Work::Generate(Box::new(work)));
    assert_eq!(run.wait(run.start(lease)), Some(0), "{}", run.log());
    match run.last(lease) {
        Record::Generated(generated) => *generated,
        other => panic!("{other:?}"),
    }
}

fn failure(run: &RunDirectory, lease: u64, work: Generate) -> (String, String) {
    run.spec(lease, Work::Generate(Box::new(work)));
    assert_eq!(run.wait(run.start(lease)), Some(0), "{}", run.log());
    match run.last(lease) {
        Record::Failed(failure) => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

/// The pieces that a journal tells of a text, put together.
fn told(run: &RunDirectory, wanted: Variant) -> String {
    run.journal()
        .into_iter()
        .filter_map(|line| match line.record {
            Record::GeneratedText(piece) if piece.variant == wanted => Some(piece.text),
            _ => None,
        })
        .collect()
}

#[test]
fn the_journal_tells_the_text_in_pieces_and_then_whole() {
    let run = RunDirectory::new();
    autoencoder(&run.path().join("autoencoder"), 5, 77);
    let generated = generated(
        &run,
        1,
        Generate {
            steering: Some(steering(&run, 5, 300.0)),
            ..wanted()
        },
    );
    assert_eq!(generated.plain.tokens, 20);
    assert_eq!(generated.plain.ended, CompletionEnd::Length);
    assert_eq!(told(&run, Variant::Plain), generated.plain.text);
    let steered = generated.steered.unwrap();
    assert_eq!(told(&run, Variant::Steered), steered.text);
    // The layer is the last: nothing is left of the text but what the direction promotes.
    let promoted = Tokenizer::open(Path::new(&model()))
        .unwrap()
        .decode(&[77; 20])
        .unwrap();
    assert_eq!(steered.text, promoted);
    let records = run.journal();
    let first = |wanted: Variant| {
        records.iter().position(
            |line| matches!(&line.record, Record::GeneratedText(piece) if piece.variant == wanted),
        )
    };
    assert!(first(Variant::Plain) < first(Variant::Steered));
}

#[test]
fn the_same_seed_writes_the_same_again_and_a_coefficient_of_0_changes_nothing() {
    let run = RunDirectory::new();
    autoencoder(&run.path().join("autoencoder"), 5, 77);
    let with = |coefficient| Generate {
        steering: Some(steering(&run, 5, coefficient)),
        ..wanted()
    };
    let first = generated(&run, 1, with(0.0));
    let second = generated(&run, 2, with(300.0));
    assert_eq!(first.plain, second.plain);
    assert_eq!(first.steered.as_ref(), Some(&first.plain));
    assert_ne!(second.steered.as_ref(), Some(&second.plain));
    // A latent that writes nothing.
    let of_nothing = Generate {
        steering: Some(steering(&run, 4, 300.0)),
        ..wanted()
    };
    assert_eq!(generated(&run, 3, of_nothing).steered, Some(first.plain));
}

#[test]
fn a_result_that_was_altered_or_does_not_fit_is_refused() {
    let run = RunDirectory::new();
    let result = run.path().join("autoencoder");
    autoencoder(&result, 5, 77);
    let good = steering(&run, 5, 1.0);
    let with = |steering| Generate {
        steering: Some(steering),
        ..wanted()
    };
    let beyond = steering(&run, LATENTS, 1.0);
    let (code, message) = failure(&run, 1, with(beyond));
    assert_eq!(code, "shape_mismatch");
    assert!(message.contains("latent 8"), "{message}");
    let deep = Steering {
        layer: 4,
        ..good.clone()
    };
    let (code, message) = failure(&run, 2, with(deep));
    assert_eq!(code, "shape_mismatch");
    assert!(message.contains("layers 0 to 3"), "{message}");
    autoencoder(&result, 6, 77);
    assert_eq!(failure(&run, 3, with(good)).0, "file_altered");
}

#[test]
fn a_chat_without_a_template_says_what_to_do() {
    let run = RunDirectory::new();
    let (code, message) = failure(
        &run,
        1,
        Generate {
            chat: true,
            ..wanted()
        },
    );
    assert_eq!(code, "chat_template");
    assert!(message.contains("chat=false"), "{message}");
}

#[test]
fn a_run_that_is_asked_to_stop_is_cancelled() {
    let run = RunDirectory::new();
    // It would go on to the end of the context; it is asked before it has begun, and while it loads or writes.
    let long = || Generate {
        sampling: Sampling {
            max_new_tokens: 5_000,
            ..wanted().sampling
        },
        ..wanted()
    };
    run.spec(1, Work::Generate(Box::new(long())));
    run.control(1, Request::Stop);
    assert_eq!(run.wait(run.start(1)), Some(0));
    assert_eq!(run.last(1), Record::Cancelled {});

    run.spec(2, Work::Generate(Box::new(long())));
    let mut child = run.start(2);
    run.until(&mut child, || !told(&run, Variant::Plain).is_empty());
    run.control(2, Request::Stop);
    assert_eq!(run.wait(child), Some(0));
    assert_eq!(run.last(2), Record::Cancelled {});
}
