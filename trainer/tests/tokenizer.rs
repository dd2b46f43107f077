//! Tokenizers against the ids that the tokenizers library of Python made of the same text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use trainmaster_trainer::tokenizer::Tokenizer;

fn tests(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(path)
}

fn reference_text() -> (String, Vec<u32>) {
    let text = std::fs::read_to_string(tests("references/tiny-llama-text.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ids = reference["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32);
    (
        reference["text"].as_str().unwrap().to_owned(),
        ids.collect(),
    )
}

#[test]
fn a_tokenizer_json_gives_the_reference_ids() {
    let (text, ids) = reference_text();
    let tokenizer = Tokenizer::open(&tests("tiny-llama")).unwrap();
    assert_eq!(tokenizer.encode(&text).unwrap(), ids);
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    assert_eq!((tokenizer.bos(), tokenizer.separator()), (Some(1), Some(0)));
    assert_eq!((tokenizer.vocab_size(), tokenizer.id_bound()), (512, 512));
}

#[test]
fn the_vocabulary_inside_a_gguf_file_gives_the_same_ids() {
    let (text, ids) = reference_text();
    let tokenizer = Tokenizer::open(&tests("tiny-llama-gguf/tiny-llama.gguf")).unwrap();
    assert_eq!(tokenizer.encode(&text).unwrap(), ids);
    assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    assert_eq!((tokenizer.bos(), tokenizer.separator()), (Some(1), Some(0)));
    let emma = std::fs::read_to_string(tests("texts/emma.txt")).unwrap();
    let directory = Tokenizer::open(&tests("tiny-llama")).unwrap();
    assert_eq!(
        tokenizer.encode(&emma).unwrap(),
        directory.encode(&emma).unwrap()
    );
}

#[test]
fn a_model_without_a_tokenizer_says_so() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(
        tests("tiny-llama/config.json"),
        directory.path().join("config.json"),
    )
    .unwrap();
    let failure = Tokenizer::open(directory.path()).err().unwrap().failure();
    assert_eq!(failure.code, "file_missing");
    assert!(
        failure.message.contains("tokenizer.json"),
        "{}",
        failure.message
    );
    std::fs::write(directory.path().join("tokenizer.json"), "{}").unwrap();
    assert_eq!(
        Tokenizer::open(directory.path())
            .err()
            .unwrap()
            .failure()
            .code,
        "file_malformed"
    );
}

#[test]
fn a_sentencepiece_vocabulary_inside_a_gguf_file_gives_sentencepiece_s_ids() {
    let tokenizer = Tokenizer::open(&tests("sentencepiece-gguf/sentencepiece.gguf")).unwrap();
    let reference =
        Tensor::read_safetensors(tests("references/sentencepiece.safetensors")).unwrap();
    let reference = |name: &str| {
        reference
            .iter()
            .find(|(key, _)| key == name)
            .unwrap()
            .1
            .shallow_clone()
    };
    let text = String::from_utf8(Vec::<u8>::try_from(reference("text")).unwrap()).unwrap();
    let emma = std::fs::read_to_string(tests("texts/emma.txt")).unwrap();
    for (text, name) in [(text, "text.ids"), (emma, "emma.ids")] {
        let expected = Vec::<i64>::try_from(reference(name).to_kind(Kind::Int64)).unwrap();
        let ids: Vec<i64> = tokenizer
            .encode(&text)
            .unwrap()
            .into_iter()
            .map(i64::from)
            .collect();
        assert_eq!(ids, expected, "{name}");
    }
    assert_eq!((tokenizer.bos(), tokenizer.separator()), (Some(1), Some(2)));
}
