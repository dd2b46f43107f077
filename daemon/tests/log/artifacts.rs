//! Verifying the files that events name.

use crate::fixture::empty_log;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{fs, path::Path};
use trainmaster::log::{Artifacts, Log, VerifyOptions};

/// Appends what the log would, whatever an aggregate says to it.
async fn append(log: &Log, (category, id): (&str, &str), kind: &str, payload: Value) {
    sqlx::query(
        "INSERT INTO log.events (transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type, command_id, \
         correlation_id, actor, payload, previous_hash, hash) \
         SELECT 0, 1 + count(*), '-infinity', 1, 1, $1, $2, $3, gen_random_uuid()::text, 'c', 'test', $4, '', '' \
         FROM log.events WHERE category = $1 AND stream_id = $2",
    )
    .bind(category)
    .bind(id)
    .bind(kind)
    .bind(payload)
    .execute(log.pool())
    .await
    .unwrap();
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn write(path: &Path, text: &str) -> String {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    sha256(text.as_bytes())
}

/// A directory of two files, one of them further below, and its hash.
fn directory(path: &Path) -> String {
    let below = write(&path.join("blocks.5/state.json"), "{}");
    let above = write(&path.join("weights"), &path.display().to_string());
    sha256(format!("{below}  blocks.5/state.json\n{above}  weights\n").as_bytes())
}

/// Two trainings and a dataset in a state directory: seven files and directories that should be there.
async fn filled(state: &Path) -> Log {
    let log = empty_log().await;
    for training in ["tr_1", "tr_2"] {
        let stream = ("training", training);
        let run = state.join("runs").join(training);
        for step in [10, 20] {
            let path = run.join(format!("checkpoints/{step}-1"));
            let saved = json!({
                "lease": 1, "seq": step, "checkpoint_id": format!("ck_{training}_{step}"), "step": step,
                "storage_path": path, "file_size_bytes": 2, "sha256": directory(&path),
            });
            append(&log, stream, "CheckpointSaved", saved).await;
        }
        let path = run.join("result");
        let ended = json!({
            "lease": 1, "seq": 30, "step": 20, "result": { "path": path, "sha256": directory(&path) },
        });
        append(&log, stream, "TrainingCompleted", ended).await;
        let path = state.join("runs/jb_1").join(format!("{training}.parquet"));
        let sha256 = write(&path, training);
        let artifact = json!({ "path": path, "sha256": sha256, "size_bytes": 4, "rows": 1 });
        let block = json!({ "training_id": training, "first_feature_id": 0, "latents": 8 });
        let job = format!("jb_{training}");
        let found = json!({ "lease": 1, "seq": 1, "block": block, "artifact": artifact, "samples": 1, "tokens": 1 });
        append(&log, ("job", &job), "FeaturesExtracted", found).await;
        let labelled = json!({ "lease": 1, "seq": 2, "block": block, "artifact": artifact });
        append(&log, ("job", &job), "FeaturesLabelled", labelled).await;
    }
    // Of the second training, a checkpoint has been pruned.
    let path = state.join("runs/tr_2/checkpoints/10-1");
    fs::remove_dir_all(&path).unwrap();
    let pruned = json!({
        "checkpoint_id": "ck_tr_2_10", "step": 10, "storage_path": path, "file_size_bytes": 2,
    });
    append(&log, ("training", "tr_2"), "CheckpointPruned", pruned).await;

    let stream = ("dataset", "ds_1");
    let text = state.join("datasets/ds_1/raw/text.txt");
    write(&text, "Call me Ishmael.");
    append(
        &log,
        stream,
        "DatasetDownloaded",
        json!({ "file_path": text, "size_bytes": 16 }),
    )
    .await;
    let content = sha256(b"Call me Ishmael.\xff");
    let ingested = json!({
        "lease": 1, "seq": 1, "num_samples": 1, "size_bytes": 16, "content_sha256": content,
    });
    append(&log, stream, "DatasetIngested", ingested).await;
    let tokens = state.join("datasets/ds_1/tokens");
    let sha256 = write(&tokens.join("tokens.bin"), "tokens");
    let tokenized = json!({
        "lease": 1, "seq": 2, "tokenized_path": tokens, "num_tokens": 3, "vocab_size": 9,
        "avg_sequence_length": 3.0, "num_sequences": 1, "sha256": sha256,
    });
    append(&log, stream, "DatasetTokenized", tokenized).await;
    log
}

async fn look(log: &Log, state: &Path) -> Artifacts {
    let options = VerifyOptions {
        artifacts: Some(state.join("datasets")),
        ..VerifyOptions::default()
    };
    let sender = tokio::sync::watch::Sender::default();
    log.verify_with(options, &sender)
        .await
        .unwrap()
        .artifacts
        .unwrap()
}

#[tokio::test]
async fn files_that_are_as_they_were_are_counted_and_pruned_ones_not_missed() {
    let state = tempfile::tempdir().unwrap();
    let log = filled(state.path()).await;
    let found = look(&log, state.path()).await;
    assert_eq!((found.intact, found.faulty), (9, 0), "{found:?}");
    assert!(log.verify().await.unwrap().artifacts.is_none());
}

#[tokio::test]
async fn a_file_that_is_missing_or_altered_is_named_with_its_event() {
    let state = tempfile::tempdir().unwrap();
    let log = filled(state.path()).await;
    for (path, stream, version) in [
        ("runs/tr_1/checkpoints/20-1/weights", "tr_1", 2),
        ("runs/tr_1/checkpoints/20-1/blocks.5/state.json", "tr_1", 2),
        ("runs/tr_1/result/weights", "tr_1", 3),
        ("runs/jb_1/tr_2.parquet", "jb_tr_2", 1),
        ("datasets/ds_1/raw/text.txt", "ds_1", 2),
        ("datasets/ds_1/tokens/tokens.bin", "ds_1", 3),
    ] {
        let path = state.path().join(path);
        let kept = fs::read(&path).unwrap();
        let mut altered = kept.clone();
        altered[0] ^= 1;
        for content in [Some(altered), None] {
            match &content {
                Some(altered) => fs::write(&path, altered).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let found = look(&log, state.path()).await;
            assert_eq!((found.intact, found.faulty), (8, 1), "{found:?}");
            let fault = &found.faults[0];
            assert_eq!((fault.stream_id.as_str(), fault.version), (stream, version));
            assert!(path.starts_with(&fault.path), "{fault:?}");
            let is_there = path.exists() || fault.path != path.display().to_string();
            let word = if is_there { "altered" } else { "missing" };
            assert!(fault.reason.contains(word), "{fault:?}");
        }
        fs::write(&path, kept).unwrap();
    }
}

#[tokio::test]
async fn files_of_what_was_deleted_are_not_missed() {
    let state = tempfile::tempdir().unwrap();
    let log = filled(state.path()).await;
    fs::remove_dir_all(state.path()).unwrap();
    let found = look(&log, state.path()).await;
    assert_eq!((found.intact, found.faulty), (0, 9));
    append(&log, ("training", "tr_1"), "TrainingDeleted", json!({})).await;
    append(&log, ("dataset", "ds_1"), "DatasetDeleted", json!({})).await;
    let found = look(&log, state.path()).await;
    assert!(found.faults.iter().all(|fault| fault.path.contains("tr_2")));
    assert_eq!(found.faulty, 3, "a checkpoint, a result and an extraction");
}
