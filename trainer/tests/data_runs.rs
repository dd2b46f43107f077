//! Runs that bring data in: fetched from a hub, tokenised once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(
    dead_code,
    reason = "what is shared with other tests is not all used here"
)]

#[path = "run/directory.rs"]
mod directory;
#[path = "hub/server.rs"]
mod server;

use directory::{RunDirectory, model};
use server::{COMMIT, Server};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use trainmaster_domain::{
    hub::{HubData, HubRepository},
    model::Quantization,
    run::{
        journal::{DatasetTokenized, Record},
        spec::{InspectModel, PrepareDataset, Work},
    },
};

fn repository(name: &str) -> HubRepository {
    HubRepository {
        repository: name.to_owned(),
        revision: "main".to_owned(),
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// What a run of a dataset of `datasets` says last.
fn prepare(
    datasets: &Path,
    id: &str,
    source: &Path,
    change: impl FnOnce(&mut PrepareDataset),
) -> Record {
    let run = RunDirectory::new();
    let mut work = PrepareDataset {
        source_path: text(source),
        text_column: "text".to_owned(),
        tokenizer_path: model(),
        context_length: 32,
        output_path: text(&datasets.join(id).join("tokenized")),
        datasets_path: Some(text(datasets)),
        ..PrepareDataset::default()
    };
    change(&mut work);
    run.spec(1, Work::PrepareDataset(work));
    assert_eq!(run.wait(run.start(1)), Some(0));
    run.last(1)
}

fn tokenized(record: Record) -> DatasetTokenized {
    match record {
        Record::DatasetTokenized(tokenized) => tokenized,
        other => panic!("{other:?}"),
    }
}

fn inode(tokenized: &DatasetTokenized) -> u64 {
    let path = Path::new(&tokenized.tokenized_path).join("tokens.bin");
    fs::metadata(path).unwrap().ino()
}

/// The tests' model, elsewhere.
fn copy_of_model(to: &Path) -> String {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(model()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    text(to)
}

#[test]
fn equal_text_for_an_equal_tokenizer_is_tokenised_once_and_shared() {
    let state = tempfile::tempdir().unwrap();
    let datasets = state.path().join("datasets");
    let book = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/texts/emma.txt");
    let first = tokenized(prepare(&datasets, "ds_a", &book, |_| {}));
    // Another dataset, another format, another model: the same text and the same tokenizer.
    let lines = state.path().join("emma.jsonl");
    let line = serde_json::json!({ "text": fs::read_to_string(&book).unwrap() });
    fs::write(&lines, line.to_string()).unwrap();
    let other_model = copy_of_model(&state.path().join("model"));
    let second = tokenized(prepare(&datasets, "ds_b", &lines, |work| {
        work.tokenizer_path = other_model;
    }));
    assert_ne!(first.tokenized_path, second.tokenized_path);
    assert_eq!(inode(&first), inode(&second));
    assert_eq!(
        (first.num_tokens, &first.sha256),
        (second.num_tokens, &second.sha256)
    );
    let again = tokenized(prepare(&datasets, "ds_a", &book, |_| {}));
    assert_eq!(again, first);
    let longer = tokenized(prepare(&datasets, "ds_a", &book, |work| {
        work.context_length = 64
    }));
    assert_ne!(longer.tokenized_path, first.tokenized_path);
    assert_ne!(inode(&longer), inode(&first));
    // What one dataset has stays when another is deleted.
    fs::remove_dir_all(datasets.join("ds_a")).unwrap();
    assert!(
        Path::new(&second.tokenized_path)
            .join("tokens.json")
            .exists()
    );
    // What is damaged is not used again.
    fs::write(Path::new(&second.tokenized_path).join("tokens.bin"), "x").unwrap();
    let anew = tokenized(prepare(&datasets, "ds_c", &book, |_| {}));
    assert_eq!(anew.sha256, first.sha256);
}

#[test]
fn weights_are_converted_where_they_are_wanted_otherwise_and_the_cost_is_measured() {
    let state = tempfile::tempdir().unwrap();
    let output = state.path().join("models/m_1/quantized");
    let convert = |to| {
        let run = RunDirectory::new();
        run.spec(
            1,
            Work::InspectModel(InspectModel {
                model_path: model(),
                architecture: Some("llama".to_owned()),
                quantization: Some(to),
                quantized_path: Some(text(&output)),
                ..InspectModel::default()
            }),
        );
        assert_eq!(run.wait(run.start(1)), Some(0));
        run
    };
    let Record::ModelInspected(as_it_comes) = convert(Quantization::Fp16).last(1) else {
        panic!("what is FP16 already was converted to it");
    };
    assert_eq!(as_it_comes.converts_to, None);
    assert!(!output.exists());

    let run = convert(Quantization::Q4);
    let Record::ModelQuantized(converted) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(converted.quantized_path, text(&output));
    assert!(converted.disk_size_bytes > 0 && converted.memory_required_bytes > 0);
    let loss = converted.loss.unwrap();
    assert!(loss.tokens > 500, "{loss:?}");
    assert!(
        loss.before > 0.0 && loss.after > 0.0 && loss.before != loss.after,
        "{loss:?}"
    );
    // The tests' model was trained a little: better than chance, and 4 bits cost it something, not everything.
    let chance = f64::from(512_u16).ln();
    assert!(loss.before < chance && loss.after < chance, "{loss:?}");
    let journal = fs::read_to_string(run.path().join("journal.jsonl")).unwrap();
    assert!(journal.contains("\"converts_to\":\"Q4\""), "{journal}");
    assert!(journal.contains("\"stage\":\"quantizing\""), "{journal}");
    let config = fs::read_to_string(output.join("config.json")).unwrap();
    assert!(config.contains("\"Q4\""), "{config}");
}

#[test]
fn text_that_has_changed_since_it_was_read_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let book = state.path().join("book.txt");
    fs::write(&book, "Call me Ishmael.").unwrap();
    let said = prepare(&state.path().join("datasets"), "ds_a", &book, |work| {
        work.content_sha256 = Some("ab".repeat(32));
    });
    let Record::Failed(failure) = said else {
        panic!("{said:?}");
    };
    assert_eq!(failure.code, "content_changed");
}

#[test]
fn a_run_fetches_a_model_and_a_dataset_with_the_token_of_its_environment() {
    let mut server = Server::new().private("hf_secret").file(
        "datasets/o/d",
        "train.jsonl",
        b"{\"text\":\"Call me Ishmael.\"}",
    );
    for entry in fs::read_dir(model()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let content = fs::read(&path).unwrap();
        server = server.large("models/o/m", &name, &content);
    }
    let endpoint = server.endpoint();
    let state = tempfile::tempdir().unwrap();
    let raw = state.path().join("models/m_1/raw");
    let run = RunDirectory::new();
    let work = Work::InspectModel(InspectModel {
        model_path: text(&raw),
        download: Some(repository("o/m")),
        ..InspectModel::default()
    });
    run.spec(1, work.clone());
    let alone = run.start_with(1, &[("HF_ENDPOINT", &endpoint)]);
    assert_eq!(run.wait(alone), Some(0));
    let Record::Failed(failure) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(failure.code, "hub_refused");
    assert!(failure.message.contains("HF_TOKEN"), "{}", failure.message);

    run.spec(2, work);
    let environment = [
        ("HF_ENDPOINT", endpoint.as_str()),
        ("HF_TOKEN", "hf_secret"),
    ];
    assert_eq!(run.wait(run.start_with(2, &environment)), Some(0));
    let Record::ModelInspected(found) = run.last(2) else {
        panic!("{:?}", run.last(2));
    };
    assert_eq!(found.architecture.as_deref(), Some("llama"));
    assert_eq!(found.quantization, Some(Quantization::Fp16));
    let journal = fs::read_to_string(run.path().join("journal.jsonl")).unwrap();
    let at = |text: &str| {
        journal
            .find(text)
            .unwrap_or_else(|| panic!("{text} in {journal}"))
    };
    assert!(at("\"downloading\"") < at("\"downloaded\""));
    assert!(at("\"downloaded\"") < at("\"model_inspected\""));
    assert!(journal.contains(COMMIT));
    for name in ["journal.jsonl", "trainer.log", "spec.json"] {
        let told = fs::read_to_string(run.path().join(name)).unwrap();
        assert!(!told.contains("hf_secret"), "{name}: {told}");
    }

    let run = RunDirectory::new();
    let datasets = state.path().join("datasets");
    run.spec(
        1,
        Work::PrepareDataset(PrepareDataset {
            source_path: text(&datasets.join("ds_1/raw")),
            text_column: "text".to_owned(),
            tokenizer_path: text(&raw),
            context_length: 32,
            output_path: text(&datasets.join("ds_1/tokenized")),
            datasets_path: Some(text(&datasets)),
            download: Some(HubData {
                at: repository("o/d"),
                split: None,
                subset: None,
            }),
            content_sha256: None,
        }),
    );
    assert_eq!(run.wait(run.start_with(1, &environment)), Some(0));
    assert!(tokenized(run.last(1)).num_tokens > 0);
}
