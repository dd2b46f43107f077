//! Autoencoders in SAELens's directories.

#![allow(clippy::unwrap_used)]

use tch::{Device, Kind, Tensor};
use trainmaster_trainer::autoencoder::gradient::Activation;
use trainmaster_trainer::autoencoder::parameters::Parameters;
use trainmaster_trainer::autoencoder::sae_lens::{Autoencoder, AutoencoderError, Provenance};

const SCALE: f64 = 0.25;

fn parameters() -> Parameters {
    tch::manual_seed(3);
    let mean = Tensor::randn([8], (Kind::Float, Device::Cpu));
    let mut parameters = Parameters::initial(8, 32, 42, &mean).unwrap();
    let _ = parameters.encoder_bias.f_add_scalar_(0.05).unwrap();
    parameters
}

fn provenance() -> Provenance {
    Provenance {
        model_name: "tiny".into(),
        hook_name: "blocks.1.hook_resid_post".into(),
        hf_hook_name: "model.layers.1".into(),
        context_size: 64,
        prepend_bos: true,
    }
}

fn close(a: &Tensor, b: &Tensor) {
    let off = (a - b).abs().max().double_value(&[]);
    assert!(off < 1e-5, "off by {off}");
}

#[test]
fn folding_makes_it_do_to_raw_activations_what_it_did_to_scaled_ones() {
    let p = parameters();
    let raw = Tensor::randn([20, 8], (Kind::Float, Device::Cpu)) * 4.0;
    let scaled = &raw * SCALE;
    let latents = ((&scaled - &p.decoder_bias).matmul(&p.encoder.tr()) + &p.encoder_bias).relu();
    let reconstruction = (latents.matmul(&p.decoder) + &p.decoder_bias) / SCALE;
    let folded = Autoencoder::of(&p, Activation::Relu, SCALE).unwrap();
    close(&folded.encode(&raw).unwrap(), &latents);
    close(&folded.decode(&latents).unwrap(), &reconstruction);
}

#[test]
fn what_is_saved_is_loaded() {
    for activation in [Activation::Relu, Activation::TopK(4)] {
        let directory = tempfile::tempdir().unwrap();
        let saved = Autoencoder::of(&parameters(), activation, SCALE).unwrap();
        saved.save(directory.path(), &provenance()).unwrap();
        let loaded = Autoencoder::load(directory.path(), Device::Cpu).unwrap();
        assert_eq!(loaded.activation, activation);
        for (a, b) in [
            (&saved.w_enc, &loaded.w_enc),
            (&saved.b_enc, &loaded.b_enc),
            (&saved.w_dec, &loaded.w_dec),
            (&saved.b_dec, &loaded.b_dec),
        ] {
            assert!(a.equal(b));
        }
        let x = Tensor::randn([20, 8], (Kind::Float, Device::Cpu));
        let active = loaded.encode(&x).unwrap().gt(0.0).sum_dim_intlist(
            [1i64].as_slice(),
            false,
            Kind::Int64,
        );
        if activation == Activation::TopK(4) {
            assert!(active.max().int64_value(&[]) <= 4);
        }
    }
}

#[test]
fn a_decoder_bias_that_is_not_subtracted_from_the_input_is_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let saved = Autoencoder::of(&parameters(), Activation::Relu, 1.0).unwrap();
    saved.save(directory.path(), &provenance()).unwrap();
    let path = directory.path().join("cfg.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replace(
        "\"apply_b_dec_to_input\": true",
        "\"apply_b_dec_to_input\": false",
    );
    assert_ne!(text, changed);
    std::fs::write(&path, changed).unwrap();
    let loaded = Autoencoder::load(directory.path(), Device::Cpu).unwrap();
    let x = Tensor::randn([20, 8], (Kind::Float, Device::Cpu));
    let expected = (x.matmul(&saved.w_enc) + &saved.b_enc).relu();
    close(&loaded.encode(&x).unwrap(), &expected);
}

#[test]
fn what_cannot_be_read_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Autoencoder::load(directory.path(), Device::Cpu).unwrap_err();
    assert!(matches!(load(), AutoencoderError::File { .. }));
    let saved = Autoencoder::of(&parameters(), Activation::Relu, 1.0).unwrap();
    saved.save(directory.path(), &provenance()).unwrap();
    let path = directory.path().join("cfg.json");
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [
        ("\"standard\"", "\"gated\""),
        (
            "\"normalize_activations\": \"none\"",
            "\"normalize_activations\": \"layer_norm\"",
        ),
        ("\"d_in\": 8", "\"d_in\": -8"),
        ("{", "["),
    ] {
        assert!(text.contains(from));
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        assert!(
            matches!(load(), AutoencoderError::Configuration { .. }),
            "{to}: {}",
            load()
        );
    }
    std::fs::write(&path, text.replace("\"d_sae\": 32", "\"d_sae\": 31")).unwrap();
    assert!(matches!(load(), AutoencoderError::Weights(_)), "{}", load());
}
