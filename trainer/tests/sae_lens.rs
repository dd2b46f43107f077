//! Autoencoders in SAELens's directories.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use std::path::Path;
use tch::{Device, Kind, Tensor};
use trainmaster_domain::hyperparameters::{ActivationFunction, Hyperparameters};
use trainmaster_domain::training::EncoderType;
use trainmaster_trainer::autoencoder::parameters::{Parameters, Shape};
use trainmaster_trainer::autoencoder::sae_lens::{
    Autoencoder, AutoencoderError, Provenance, read_metadata,
};
use trainmaster_trainer::autoencoder::training::Training;
use trainmaster_trainer::tensor_file::{TensorFile, write_tensors};

const D_IN: i64 = 8;
const D_OUT: i64 = 6;
const B: i64 = 20;
const SCALE: f64 = 0.25;
const TARGET_SCALE: f64 = 0.5;

const FUNCTIONS: [ActivationFunction; 5] = [
    ActivationFunction::Relu,
    ActivationFunction::TopK,
    ActivationFunction::BatchTopK,
    ActivationFunction::JumpRelu,
    ActivationFunction::Gated,
];

const ENCODER_TYPES: [EncoderType; 3] = [
    EncoderType::Sparse,
    EncoderType::Transcoder,
    EncoderType::Skip,
];

fn provenance() -> Provenance {
    Provenance {
        model_name: "tiny".into(),
        hook_name: "blocks.1.hook_resid_post".into(),
        hf_hook_name: "model.layers.1".into(),
        hook_name_out: Some("blocks.1.hook_mlp_out".into()),
        hf_hook_name_out: Some("model.layers.1.mlp".into()),
        context_size: 64,
        prepend_bos: true,
    }
}

fn noise(rows: i64, width: i64) -> Tensor {
    Tensor::randn([rows, width], (Kind::Float, Device::Cpu))
}

/// A training with a few steps behind it.
fn trained(encoder_type: EncoderType, function: ActivationFunction) -> Training {
    // Tensors are too small to share out.
    tch::set_num_threads(1);
    tch::manual_seed(3);
    let top_k = matches!(
        function,
        ActivationFunction::TopK | ActivationFunction::BatchTopK
    );
    let hyperparameters = Hyperparameters {
        learning_rate: 0.02,
        batch_size: B as u32,
        l1_coefficient: 0.1,
        expansion_factor: 4,
        activation_function: Some(function),
        top_k: top_k.then_some(4),
        jump_threshold: Some(0.05),
        jump_bandwidth: Some(0.1),
        ..Hyperparameters::default()
    };
    let sparse = encoder_type == EncoderType::Sparse;
    let d_out = if sparse { D_IN } else { D_OUT };
    let shape = Shape::of(&hyperparameters, encoder_type, D_IN, d_out);
    let means = (noise(1, D_IN).view([-1]), noise(1, d_out).view([-1]));
    let parameters = Parameters::initial(shape, &hyperparameters, &means.0, &means.1).unwrap();
    let mut training = Training::new(&hyperparameters, parameters, Kind::Float).unwrap();
    for _ in 0..20 {
        let x = noise(B, D_IN) + &means.0;
        let y = if sparse {
            x.shallow_clone()
        } else {
            noise(B, D_OUT) + &means.1
        };
        training.step(&x, &y, true).unwrap();
    }
    training
}

fn saved(encoder_type: EncoderType, function: ActivationFunction, directory: &Path) -> Autoencoder {
    let autoencoder = trained(encoder_type, function)
        .autoencoder(1.0, 1.0)
        .unwrap();
    autoencoder.save(directory, &provenance()).unwrap();
    autoencoder
}

fn load(directory: &Path) -> Result<Autoencoder, AutoencoderError> {
    Autoencoder::load(directory, Device::Cpu)
}

fn close(a: &Tensor, b: &Tensor) {
    let off = (a - b).abs().max().double_value(&[]);
    assert!(off < 1e-5, "off by {off}");
}

/// Changes the `cfg.json` of a directory.
fn edit(directory: &Path, change: impl FnOnce(&mut Value)) {
    let path = directory.join("cfg.json");
    let mut configuration: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut configuration);
    std::fs::write(&path, configuration.to_string()).unwrap();
}

#[test]
fn folding_makes_it_do_to_raw_activations_what_it_did_to_scaled_ones() {
    for encoder_type in ENCODER_TYPES {
        for function in FUNCTIONS {
            let training = trained(encoder_type, function);
            let target_scale = if encoder_type == EncoderType::Sparse {
                SCALE
            } else {
                TARGET_SCALE
            };
            let as_trained = training.autoencoder(1.0, 1.0).unwrap();
            let folded = training.autoencoder(SCALE, target_scale).unwrap();
            let scaled = noise(50, D_IN);
            let raw = &scaled / SCALE;
            let latents = as_trained.encode(&scaled).unwrap();
            assert!(latents.max().double_value(&[]) > 0.0);
            close(&folded.encode(&raw).unwrap(), &latents);
            close(
                &folded.decode(&latents, &raw).unwrap(),
                &(as_trained.decode(&latents, &scaled).unwrap() / target_scale),
            );
        }
    }
}

#[test]
fn what_is_loaded_and_saved_again_has_the_same_bits() {
    for encoder_type in ENCODER_TYPES {
        for function in FUNCTIONS {
            let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let kept = saved(encoder_type, function, first.path());
            let loaded = load(first.path()).unwrap();
            let metadata = read_metadata(first.path()).unwrap();
            assert_eq!(metadata["hook_name_out"], "blocks.1.hook_mlp_out");
            loaded.save_with(second.path(), metadata).unwrap();
            for name in [
                "cfg.json",
                "sae_weights.safetensors",
                "sparsity.safetensors",
            ] {
                let read =
                    |from: &tempfile::TempDir| std::fs::read(from.path().join(name)).unwrap();
                assert_eq!(
                    read(&first),
                    read(&second),
                    "{name} of {}",
                    kept.architecture()
                );
            }
            assert_eq!(kept.architecture(), loaded.architecture());
            let x = noise(50, D_IN);
            let latents = kept.encode(&x).unwrap();
            assert!(latents.equal(&loaded.encode(&x).unwrap()));
            let written = kept.decode(&latents, &x).unwrap();
            assert!(written.equal(&loaded.decode(&latents, &x).unwrap()));
        }
    }
}

#[test]
fn batch_topk_is_kept_as_jumprelu_with_the_threshold_that_it_came_to() {
    let directory = tempfile::tempdir().unwrap();
    let autoencoder = saved(
        EncoderType::Sparse,
        ActivationFunction::BatchTopK,
        directory.path(),
    );
    assert_eq!(autoencoder.architecture(), "jumprelu");
    let latents = autoencoder.encode(&noise(2_000, D_IN)).unwrap();
    let threshold = TensorFile::open(&directory.path().join("sae_weights.safetensors"))
        .unwrap()
        .tensor("threshold", &[4 * D_IN])
        .unwrap();
    let smallest = latents.masked_select(&latents.gt(0.0)).min();
    assert!(threshold.min().double_value(&[]) > 0.0);
    assert!(smallest.double_value(&[]) > threshold.max().double_value(&[]));
}

#[test]
fn the_frequency_of_latents_is_kept_beside_them() {
    let directory = tempfile::tempdir().unwrap();
    let training = trained(EncoderType::Sparse, ActivationFunction::TopK);
    let autoencoder = training.autoencoder(1.0, 1.0).unwrap();
    autoencoder.save(directory.path(), &provenance()).unwrap();
    let log_frequency = load(directory.path()).unwrap().log_frequency.unwrap();
    // Four of each activation, where that many are above 0.
    let active = Tensor::from(10.0).pow(&log_frequency).sum(Kind::Double);
    let counted = training.firings.counts.sum(Kind::Double) / training.firings.activations as f64;
    assert_eq!(training.firings.activations, 20 * B);
    assert!((active.double_value(&[]) - counted.double_value(&[])).abs() < 1e-3);
    assert!(counted.double_value(&[]) > 3.0);
}

#[test]
fn a_decoder_bias_that_is_not_subtracted_from_the_input_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let kept = saved(
        EncoderType::Sparse,
        ActivationFunction::Relu,
        directory.path(),
    );
    edit(directory.path(), |c| {
        c["apply_b_dec_to_input"] = json!(false)
    });
    let x = noise(20, D_IN);
    let expected = (x.matmul(&kept.w_enc) + &kept.b_enc).relu();
    close(
        &load(directory.path()).unwrap().encode(&x).unwrap(),
        &expected,
    );
}

#[test]
fn latents_that_are_rescaled_by_their_decoder_row_are_folded() {
    let directory = tempfile::tempdir().unwrap();
    let kept = saved(
        EncoderType::Sparse,
        ActivationFunction::TopK,
        directory.path(),
    );
    edit(directory.path(), |c| {
        c["rescale_acts_by_decoder_norm"] = json!(true);
    });
    let x = noise(20, D_IN);
    let norms = kept.w_dec.norm_scalaropt_dim(2.0, [1i64].as_slice(), false);
    let pre = ((&x - &kept.b_dec).matmul(&kept.w_enc) + &kept.b_enc) * &norms;
    let (values, members) = pre.topk(4, 1, true, false);
    let latents = pre.zeros_like().scatter(1, &members, &values.relu());
    let written = (&latents / &norms).matmul(&kept.w_dec) + &kept.b_dec;
    let loaded = load(directory.path()).unwrap();
    close(&loaded.encode(&x).unwrap(), &latents);
    close(&loaded.decode(&latents, &x).unwrap(), &written);
}

#[test]
fn a_scale_beside_a_checkpoint_is_folded() {
    let directory = tempfile::tempdir().unwrap();
    let kept = saved(
        EncoderType::Sparse,
        ActivationFunction::JumpRelu,
        directory.path(),
    );
    edit(directory.path(), |c| {
        c["normalize_activations"] = json!("expected_average_only_in");
    });
    let refused = load(directory.path()).unwrap_err();
    assert!(refused.to_string().contains("activation_scaler.json"));
    std::fs::write(
        directory.path().join("activation_scaler.json"),
        r#"{"scaling_factor": 2.5, "has_whitening": false}"#,
    )
    .unwrap();
    let loaded = load(directory.path()).unwrap();
    let x = noise(20, D_IN);
    let latents = kept.encode(&(&x * 2.5)).unwrap();
    close(&loaded.encode(&x).unwrap(), &latents);
    close(
        &loaded.decode(&latents, &x).unwrap(),
        &(kept.decode(&latents, &x).unwrap() / 2.5),
    );
}

#[test]
fn a_checkpoint_of_batch_topk_has_one_threshold_in_units_of_decoder_norms() {
    let directory = tempfile::tempdir().unwrap();
    let kept = saved(
        EncoderType::Sparse,
        ActivationFunction::TopK,
        directory.path(),
    );
    let threshold = Tensor::from(0.05f64);
    write_tensors(
        &directory.path().join("sae_weights.safetensors"),
        &[
            ("W_enc", &kept.w_enc),
            ("b_enc", &kept.b_enc),
            ("W_dec", &kept.w_dec),
            ("b_dec", &kept.b_dec),
            ("topk_threshold", &threshold),
        ],
    )
    .unwrap();
    edit(directory.path(), |c| {
        c["architecture"] = json!("batchtopk");
        c["rescale_acts_by_decoder_norm"] = json!(true);
        c["normalize_activations"] = json!("expected_average_only_in");
    });
    std::fs::write(
        directory.path().join("activation_scaler.json"),
        r#"{"scaling_factor": 2.5, "has_whitening": false}"#,
    )
    .unwrap();
    let loaded = load(directory.path()).unwrap();
    assert_eq!(loaded.architecture(), "jumprelu");
    let x = noise(20, D_IN);
    let norms = kept.w_dec.norm_scalaropt_dim(2.0, [1i64].as_slice(), false);
    let pre = ((&x * 2.5 - &kept.b_dec).matmul(&kept.w_enc) + &kept.b_enc) * &norms;
    let latents = pre.relu() * pre.gt(0.05);
    assert!(latents.gt(0.0).any().int64_value(&[]) == 1);
    let written = ((&latents / &norms).matmul(&kept.w_dec) + &kept.b_dec) / 2.5;
    // SAELens gives them in units of the norms that the scale has been folded into.
    let found = loaded.encode(&x).unwrap();
    close(&(&found * 2.5), &latents);
    close(&loaded.decode(&found, &x).unwrap(), &written);
}

#[test]
fn whitening_beside_a_checkpoint_is_folded() {
    for centred in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        saved(
            EncoderType::Sparse,
            ActivationFunction::Gated,
            directory.path(),
        );
        edit(directory.path(), |c| {
            c["apply_b_dec_to_input"] = json!(centred);
        });
        let kept = load(directory.path()).unwrap();
        edit(directory.path(), |c| {
            c["normalize_activations"] = json!("covariance_whitening");
        });
        let matrix = Tensor::eye(D_IN, (Kind::Float, Device::Cpu)) + noise(D_IN, D_IN) * 0.1;
        let (mean, inverse) = (noise(1, D_IN).view([-1]), matrix.inverse());
        write_tensors(
            &directory.path().join("activation_whitening.safetensors"),
            &[
                ("mean", &mean),
                ("matrix", &matrix),
                ("inverse_matrix", &inverse),
            ],
        )
        .unwrap();
        let loaded = load(directory.path()).unwrap();
        let x = noise(20, D_IN);
        let whitened = (&x - &mean).matmul(&matrix);
        let latents = kept.encode(&whitened).unwrap();
        close(&loaded.encode(&x).unwrap(), &latents);
        close(
            &loaded.decode(&latents, &x).unwrap(),
            &(kept.decode(&latents, &whitened).unwrap().matmul(&inverse) + &mean),
        );
    }
}

#[test]
fn a_directory_of_saelens_before_version_6_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let kept = saved(
        EncoderType::Sparse,
        ActivationFunction::TopK,
        directory.path(),
    );
    edit(directory.path(), |c| {
        *c = json!({
            "d_in": D_IN, "d_sae": 4 * D_IN, "activation_fn_str": "topk",
            "activation_fn_kwargs": {"k": 4}, "normalize_activations": false,
            "model_name": "tiny", "hook_name": "blocks.1.hook_resid_post", "lr": 0.1,
        });
    });
    let loaded = load(directory.path()).unwrap();
    let x = noise(20, D_IN);
    assert!(loaded.encode(&x).unwrap().equal(&kept.encode(&x).unwrap()));
    let metadata = read_metadata(directory.path()).unwrap();
    assert_eq!(metadata["model_name"], "tiny");
    assert!(!metadata.contains_key("lr"));
}

#[test]
fn what_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let fails = || load(directory.path()).unwrap_err();
    assert!(matches!(fails(), AutoencoderError::File { .. }));
    saved(
        EncoderType::Transcoder,
        ActivationFunction::Relu,
        directory.path(),
    );
    let path = directory.path().join("cfg.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (name, value) in [
        ("architecture", json!("temporal")),
        ("normalize_activations", json!("layer_norm")),
        ("reshape_activations", json!("hook_z")),
        ("apply_b_dec_to_input", json!(true)),
        ("activation_fn", json!("tanh-relu")),
        ("d_in", json!(-8)),
        ("d_out", Value::Null),
    ] {
        std::fs::write(&path, &text).unwrap();
        edit(directory.path(), |c| c[name] = value.clone());
        let failed = fails();
        assert!(
            matches!(failed, AutoencoderError::Configuration { .. }),
            "{name} {value}: {failed}"
        );
    }
    std::fs::write(&path, "[").unwrap();
    assert!(matches!(fails(), AutoencoderError::Configuration { .. }));
    std::fs::write(&path, text.replace("\"d_sae\": 32", "\"d_sae\": 31")).unwrap();
    assert!(
        matches!(fails(), AutoencoderError::Weights(_)),
        "{}",
        fails()
    );
}
