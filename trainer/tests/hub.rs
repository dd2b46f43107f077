//! Fetching from a server that speaks the hub's paths, through what a run calls.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "hub/server.rs"]
mod server;

use server::{COMMIT, Server};
use std::{fs, ops::ControlFlow, path::Path};
use trainmaster_domain::{
    hub::{HubData, HubRepository},
    run::journal::Downloaded,
};
use trainmaster_trainer::hub::{self, Hub, HubError};

fn repository(name: &str) -> HubRepository {
    HubRepository {
        repository: name.to_owned(),
        revision: "main".to_owned(),
    }
}

fn fetch_with(
    server: &Server,
    token: Option<&str>,
    name: &str,
    to: &Path,
) -> Result<Downloaded, HubError> {
    let hub = Hub::new(&server.endpoint(), token.map(str::to_owned))?;
    hub::fetch_model(&hub, &repository(name), to, &mut |_| {
        ControlFlow::Continue(())
    })
}

fn fetch(server: &Server, name: &str, to: &Path) -> Result<Downloaded, HubError> {
    fetch_with(server, None, name, to)
}

/// Some bytes that are like nothing else.
fn weights(length: usize) -> Vec<u8> {
    let mut state = 12_345_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn a_model() -> Server {
    Server::new()
        .file("models/o/m", "config.json", b"{}")
        .file("models/o/m", "tokenizer.json", b"{\"t\":1}")
        .file("models/o/m", "README.md", b"about")
        .file("models/o/m", "pytorch_model.bin", b"pickle")
        .file("models/o/m", "onnx/model.safetensors", b"other")
        .large("models/o/m", "model.safetensors", &weights(3_000_000))
}

#[test]
fn a_model_comes_with_what_belongs_to_it_and_nothing_else() {
    let server = a_model();
    let to = tempfile::tempdir().unwrap();
    let raw = to.path().join("raw");
    let fetched = fetch(&server, "o/m", &raw).unwrap();
    assert_eq!(fetched.commit, COMMIT);
    assert_eq!(fetched.size_bytes, 2 + 7 + 3_000_000);
    assert_eq!(fetched.path, raw.to_str().unwrap());
    let mut names: Vec<_> = fs::read_dir(&raw)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["config.json", "model.safetensors", "tokenizer.json"]
    );
    assert_eq!(
        fs::read(raw.join("model.safetensors")).unwrap(),
        weights(3_000_000)
    );
    let asked = server.asked().len();
    fetch(&server, "o/m", &raw).unwrap();
    assert_eq!(
        server.asked().len(),
        asked + 1,
        "only the list is asked for again"
    );
}

#[test]
fn a_model_in_several_files_comes_with_those_that_its_index_names() {
    let index = r#"{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"#;
    let server = Server::new()
        .file("models/o/m", "config.json", b"{}")
        .file(
            "models/o/m",
            "model.safetensors.index.json",
            index.as_bytes(),
        )
        .large("models/o/m", "model-1.safetensors", b"one")
        .large("models/o/m", "model-2.safetensors", b"two")
        .large("models/o/m", "old.safetensors", b"three");
    let to = tempfile::tempdir().unwrap();
    fetch(&server, "o/m", to.path()).unwrap();
    assert_eq!(
        fs::read(to.path().join("model-2.safetensors")).unwrap(),
        b"two"
    );
    assert!(!to.path().join("old.safetensors").exists());
}

#[test]
fn a_connection_that_is_cut_is_taken_up_where_it_ended() {
    let server = a_model().cutting_after(1_000_000);
    let to = tempfile::tempdir().unwrap();
    fetch(&server, "o/m", to.path()).unwrap();
    assert_eq!(
        fs::read(to.path().join("model.safetensors")).unwrap(),
        weights(3_000_000)
    );
    let ranges: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|request| request.is_storage)
        .filter_map(|request| request.range)
        .collect();
    assert_eq!(ranges, ["bytes=1000000-", "bytes=2000000-"]);
}

#[test]
fn what_a_killed_run_has_fetched_is_continued_by_the_next() {
    let server = a_model();
    let to = tempfile::tempdir().unwrap();
    let hub = Hub::new(&server.endpoint(), None).unwrap();
    let ended = hub::fetch_model(&hub, &repository("o/m"), to.path(), &mut |percent| {
        if percent > 40.0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert!(matches!(ended, Err(HubError::Cancelled)), "{ended:?}");
    assert!(!to.path().join("model.safetensors").exists());
    fetch(&server, "o/m", to.path()).unwrap();
    assert_eq!(
        fs::read(to.path().join("model.safetensors")).unwrap(),
        weights(3_000_000)
    );
    let last = server.asked().pop().unwrap();
    let from: usize = last.range.unwrap()["bytes=".len()..]
        .trim_end_matches('-')
        .parse()
        .unwrap();
    assert!(from > 1_000_000, "continued from {from}");
}

#[test]
fn an_altered_byte_is_refused_by_name_and_not_kept() {
    for name in ["model.safetensors", "config.json"] {
        let server = a_model().altering(name);
        let to = tempfile::tempdir().unwrap();
        let failure = fetch(&server, "o/m", to.path()).unwrap_err().failure();
        assert_eq!(failure.code, "file_altered");
        assert!(failure.message.contains(name), "{}", failure.message);
        assert!(!to.path().join(name).exists());
        fetch(&server.sound(), "o/m", to.path()).unwrap();
    }
}

#[test]
fn the_hash_that_only_the_answer_tells_counts_too() {
    let server = a_model().without_hashes_in_the_list();
    let to = tempfile::tempdir().unwrap();
    fetch(&server, "o/m", to.path()).unwrap();
    let server = a_model()
        .without_hashes_in_the_list()
        .altering("model.safetensors");
    let to = tempfile::tempdir().unwrap();
    let failure = fetch(&server, "o/m", to.path()).unwrap_err().failure();
    assert_eq!(failure.code, "file_altered");
}

#[test]
fn a_private_repository_needs_the_token_which_goes_nowhere_else() {
    let server = a_model().private("hf_secret");
    let to = tempfile::tempdir().unwrap();
    let refused = fetch(&server, "o/m", to.path()).unwrap_err().failure();
    assert_eq!(refused.code, "hub_refused");
    assert!(
        refused.message.contains("set HF_TOKEN"),
        "{}",
        refused.message
    );
    let wrong = fetch_with(&server, Some("hf_wrong"), "o/m", to.path()).unwrap_err();
    assert!(!wrong.to_string().contains("hf_wrong"), "{wrong}");
    assert!(wrong.to_string().contains("HF_TOKEN"), "{wrong}");
    fetch_with(&server, Some("hf_secret"), "o/m", to.path()).unwrap();
    let elsewhere: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|r| r.is_storage)
        .collect();
    assert!(!elsewhere.is_empty());
    assert!(elsewhere.iter().all(|request| request.token.is_none()));
}

#[test]
fn what_is_not_there_is_said() {
    let server = a_model().file("models/o/gguf", "config.json", b"{}").file(
        "models/o/gguf",
        "model.gguf",
        b"GGUF",
    );
    let to = tempfile::tempdir().unwrap();
    let unknown = fetch(&server, "o/nothing", to.path())
        .unwrap_err()
        .failure();
    assert_eq!(unknown.code, "hub_not_found");
    assert!(unknown.message.contains("o/nothing"), "{}", unknown.message);
    let useless = fetch(&server, "o/gguf", to.path()).unwrap_err().failure();
    assert_eq!(useless.code, "hub_nothing_useful");
    assert!(
        useless.message.contains("model.gguf"),
        "{}",
        useless.message
    );
    let nobody = Hub::new("http://127.0.0.1:1", None).unwrap();
    let unreachable = hub::fetch_model(&nobody, &repository("o/m"), to.path(), &mut |_| {
        ControlFlow::Continue(())
    });
    assert_eq!(unreachable.unwrap_err().failure().code, "hub_unreachable");
    assert!(matches!(
        Hub::new("hub.example", None),
        Err(HubError::Endpoint { .. })
    ));
}

#[test]
fn what_does_not_fit_is_not_begun() {
    let server = Server::new()
        .file("models/o/m", "config.json", b"{}")
        .large("models/o/m", "model.safetensors", b"weights")
        .claiming("model.safetensors", 1 << 60);
    let to = tempfile::tempdir().unwrap();
    let failure = fetch(&server, "o/m", to.path()).unwrap_err().failure();
    assert_eq!(failure.code, "disk_full");
    assert!(
        failure.message.contains("1152921504"),
        "{}",
        failure.message
    );
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_dataset_comes_by_split_and_keeps_its_directories() {
    let server = Server::new()
        .file("datasets/o/d", "data/train-0.jsonl", b"{\"text\":\"one\"}")
        .file("datasets/o/d", "data/train-1.jsonl", b"{\"text\":\"two\"}")
        .file("datasets/o/d", "data/test-0.jsonl", b"{\"text\":\"three\"}")
        .file("datasets/o/d", "README.md", b"about");
    let hub = Hub::new(&server.endpoint(), None).unwrap();
    let to = tempfile::tempdir().unwrap();
    let mut told = vec![];
    let data = HubData {
        at: repository("o/d"),
        split: None,
        subset: None,
    };
    hub::fetch_dataset(&hub, &data, to.path(), &mut |percent| {
        told.push(percent);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(to.path().join("data/train-1.jsonl").exists());
    assert!(!to.path().join("data/test-0.jsonl").exists());
    assert_eq!(told.last(), Some(&100.0));
    let test = HubData {
        split: Some("test".to_owned()),
        ..data
    };
    let to = tempfile::tempdir().unwrap();
    let fetched = hub::fetch_dataset(&hub, &test, to.path(), &mut |_| ControlFlow::Continue(()));
    assert_eq!(fetched.unwrap().size_bytes, 16);
}
