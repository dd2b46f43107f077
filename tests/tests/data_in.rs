//! Data in, through the built programs: from a hub that asks for a token, and tokens that a second model uses again.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../../trainer/tests/hub/server.rs"]
#[allow(dead_code, reason = "written for more than is asked of it here")]
mod server;

use server::Server;
use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};
use trainmaster_tests::lab::{Lab, Steps};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../trainer/tests")
}

async fn tokenized_path(lab: &Lab, dataset: &str) -> PathBuf {
    let path: String =
        sqlx::query_scalar("SELECT tokenized_path FROM mistudio.datasets WHERE id = $1")
            .bind(dataset)
            .fetch_one(lab.pool())
            .await
            .unwrap();
    path.into()
}

#[tokio::test]
async fn a_model_and_a_dataset_of_the_hub_become_a_training_and_the_token_is_nowhere() {
    let book = fs::read_to_string(fixtures().join("texts/emma.txt")).unwrap();
    let line = serde_json::json!({ "story": book }).to_string();
    let mut server = Server::new()
        .private("hf_secret")
        .cutting_after(50_000)
        .large("datasets/o/d", "data/train.jsonl", line.as_bytes())
        .file("datasets/o/d", "data/test.jsonl", b"{}");
    for entry in fs::read_dir(fixtures().join("tiny-llama")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        server = server.large("models/o/m", &name, &fs::read(&path).unwrap());
    }
    let mut lab = Lab::new().await;
    lab.set_environment("HF_ENDPOINT", &server.endpoint());
    lab.set_environment("HF_TOKEN", "hf_secret");
    let daemon = lab.start();
    let model = lab.cli(&["model", "add", "o/m", "--hub", "--wait"]);
    let model = model["id"].as_str().unwrap().to_owned();
    let dataset = lab.cli(&[
        "dataset",
        "add",
        "o/d",
        "--hub",
        "--tokenizer",
        "o/m",
        "--text-column",
        "story",
        "--context-length",
        "64",
        "--wait",
    ]);
    let dataset = dataset["id"].as_str().unwrap().to_owned();
    let shown = lab.cli(&["model", "show", "o/m"]);
    assert_eq!(shown["architecture"], "llama");
    assert_eq!(shown["quantization"], "FP16");
    let raw = lab.state().join("models").join(&model).join("raw");
    assert_eq!(shown["file_path"], raw.to_str().unwrap());
    let found = lab.cli(&["datasets", "--search", "o/d"]);
    assert_eq!(found[0]["id"], dataset);
    assert_eq!(found[0]["source"], "HuggingFace");
    assert_eq!(found[0]["num_samples"], 1);
    let steps = Steps {
        total: 20,
        checkpoint_every: 20,
        batch: 64,
    };
    let training = lab.train(&(model, dataset), steps);
    lab.wait_for_status("trainings", &training, &["completed"])
        .await;
    lab.assert_rebuild_equals_live().await;
    let told: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM log.events WHERE payload::text LIKE '%hf_secret%'",
    )
    .fetch_one(lab.pool())
    .await
    .unwrap();
    assert_eq!(told, 0);
    assert!(!daemon.log().contains("hf_secret"));
}

#[tokio::test]
async fn a_second_model_of_the_same_tokenizer_uses_the_tokens_again() {
    let lab = Lab::new().await;
    let _daemon = lab.start();
    let (first, dataset) = lab.furnish().await;
    let path = fixtures().join("tiny-llama");
    let second = lab.cli(&[
        "model",
        "add",
        path.to_str().unwrap(),
        "--name",
        "again",
        "--wait",
    ]);
    let second = second["id"].as_str().unwrap().to_owned();
    let before = tokenized_path(&lab, &dataset).await;
    lab.cli(&[
        "dataset",
        "tokenize",
        &dataset,
        "--tokenizer",
        "again",
        "--wait",
    ]);
    assert_eq!(tokenized_path(&lab, &dataset).await, before);
    let copy = lab.cli(&[
        "dataset",
        "add",
        fixtures().join("texts/emma.txt").to_str().unwrap(),
        "--custom",
        "--name",
        "copy",
        "--tokenizer",
        "again",
        "--context-length",
        "64",
        "--wait",
    ]);
    let copy = copy["id"].as_str().unwrap().to_owned();
    let after = tokenized_path(&lab, &copy).await;
    let inode = |path: &PathBuf| fs::metadata(path.join("tokens.bin")).unwrap().ino();
    assert_ne!(after, before);
    assert_eq!(inode(&after), inode(&before));
    let steps = Steps {
        total: 20,
        checkpoint_every: 20,
        batch: 64,
    };
    for model in [first, second] {
        let training = lab.train(&(model, dataset.clone()), steps);
        lab.wait_for_status("trainings", &training, &["completed"])
            .await;
    }
    lab.assert_rebuild_equals_live().await;
}
