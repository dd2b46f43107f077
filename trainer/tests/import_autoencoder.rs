//! Autoencoders of others become results of trainings, by the real program.

#![allow(clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "run/directory.rs"]
mod directory;

use directory::{RunDirectory, model};
use serde_json::json;
use std::path::{Path, PathBuf};
use tch::{Device, Kind, Tensor};
use trainmaster_domain::id::TrainingId;
use trainmaster_domain::run::journal::{FailureClass, Record};
use trainmaster_domain::run::spec::{ImportAutoencoder, Work};
use trainmaster_trainer::autoencoder::Autoencoder;
use trainmaster_trainer::tensor_file::write_tensors;

/// The tiny model's width.
const WIDTH: i64 = 64;
const LATENTS: i64 = 96;
const SCALE: f64 = 2.0;

/// A directory as a training of SAELens leaves it, whose normalisation is beside the weights.
fn of_others(at: &Path, width: i64, first_threshold: f32) -> PathBuf {
    let directory = at.join("theirs");
    std::fs::create_dir(&directory).unwrap();
    tch::manual_seed(5);
    let noise = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.3;
    let threshold = Tensor::full([LATENTS], 0.1, (Kind::Float, Device::Cpu));
    let _ = threshold.narrow(0, 0, 1).fill_(f64::from(first_threshold));
    write_tensors(
        &directory.join("sae_weights.safetensors"),
        &[
            ("W_enc", &noise(&[width, LATENTS])),
            ("b_enc", &noise(&[LATENTS])),
            ("W_dec", &noise(&[LATENTS, width])),
            ("b_dec", &noise(&[width])),
            ("threshold", &threshold),
        ],
    )
    .unwrap();
    let configuration = json!({
        "architecture": "jumprelu", "d_in": width, "d_sae": LATENTS, "dtype": "float32", "device": "cpu",
        "apply_b_dec_to_input": true, "normalize_activations": "expected_average_only_in", "reshape_activations": "none",
        "metadata": {"sae_lens_version": "6.54.12", "model_name": "tiny-llama", "hook_name": "blocks.1.hook_resid_post"},
    });
    std::fs::write(directory.join("cfg.json"), configuration.to_string()).unwrap();
    let scaler = json!({"scaling_factor": SCALE, "has_whitening": false});
    std::fs::write(directory.join("activation_scaler.json"), scaler.to_string()).unwrap();
    directory
}

fn import(run: &RunDirectory, source: &Path) -> Record {
    run.spec(
        1,
        Work::ImportAutoencoder(ImportAutoencoder {
            training_id: TrainingId::new("tr_test").unwrap(),
            source_path: source.to_string_lossy().into_owned(),
            model_path: model(),
        }),
    );
    assert_eq!(run.wait(run.start(1)), Some(0), "{}", run.log());
    run.last(1)
}

fn refused(run: &RunDirectory, source: &Path, code: &str) {
    match import(run, source) {
        Record::Failed(failure) => {
            assert_eq!(failure.code, code, "{}", failure.message);
            assert_eq!(failure.class, FailureClass::Workload);
        }
        other => panic!("{other:?} instead of {code}"),
    }
    assert!(!run.path().join("result").exists());
}

#[test]
fn an_autoencoder_of_others_becomes_a_result_that_reads_raw_activations() {
    let run = RunDirectory::new();
    let source = of_others(run.path(), WIDTH, 0.1);
    let Record::Completed(finished) = import(&run, &source) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(finished.step, 0);
    assert_eq!(run.hash(Path::new(&finished.path)), finished.sha256);
    assert!(run.journal().iter().any(|line| matches!(
        &line.record,
        Record::TrainingStarted(started) if (started.d_in, started.d_sae) == (Some(WIDTH as u32), Some(LATENTS as u32))
    )));

    let theirs = Autoencoder::load(&source, Device::Cpu).unwrap();
    let result = Path::new(&finished.path);
    let ours = Autoencoder::load(result, Device::Cpu).unwrap();
    let x = Tensor::randn([50, WIDTH], (Kind::Float, Device::Cpu));
    let latents = ours.encode(&x).unwrap();
    assert!(latents.equal(&theirs.encode(&x).unwrap()));
    assert!(latents.max().double_value(&[]) > 0.1);
    let written = ours.decode(&latents, &x).unwrap();
    assert!(written.equal(&theirs.decode(&latents, &x).unwrap()));

    let text = std::fs::read(result.join("cfg.json")).unwrap();
    let configuration: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(configuration["normalize_activations"], "none");
    let metadata = &configuration["metadata"];
    assert_eq!(metadata["hook_name"], "blocks.1.hook_resid_post");
}

#[test]
fn one_for_another_model_is_refused() {
    let run = RunDirectory::new();
    let source = of_others(run.path(), WIDTH / 2, 0.1);
    refused(&run, &source, "shape_mismatch");
}

#[test]
fn one_that_is_not_there_is_missing() {
    let run = RunDirectory::new();
    refused(&run, &run.path().join("nowhere"), "file_missing");
}

#[test]
fn weights_that_are_not_numbers_are_no_result() {
    let run = RunDirectory::new();
    let source = of_others(run.path(), WIDTH, f32::NAN);
    refused(&run, &source, "file_truncated");
}
