//! Text from a command to a sentence: written by a run, told while it is written, steered by a trained feature, ended by Ctrl-C.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};
use trainmaster_tests::lab::{Lab, Steps, program, signal, wait_for_no_trainer};

/// A training that is completed, with one feature of its own: the first latent of which it is known how active it becomes.
async fn trained(lab: &Lab) -> String {
    let furniture = lab.furnish().await;
    let steps = Steps {
        total: 60,
        checkpoint_every: 60,
        batch: 64,
    };
    let id = lab.train(&furniture, steps);
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    sqlx::query(
        "INSERT INTO mistudio.features (id, training_id, neuron_index, layer, activation_frequency, max_activation_value)
         VALUES (17000, $1, 0, 1, 0.01, 10)",
    )
    .bind(&id)
    .execute(lab.pool())
    .await
    .unwrap();
    id
}

#[tokio::test]
async fn a_feature_steers_what_its_model_writes() {
    let lab = Lab::new().await;
    let _daemon = lab.start();
    let training = trained(&lab).await;
    let write = |coefficient: &str| {
        let feature = format!("--feature=17000={coefficient}");
        lab.cli(&[
            "generate",
            "--training",
            &training,
            &feature,
            "--max-tokens=24",
            "--temperature=1",
            "--seed=7",
            "Emma Woodhouse,",
        ])
    };
    let (not, much) = (write("0"), write("300"));
    for job in [&not, &much] {
        assert_eq!(job["status"], "completed", "{job}");
    }
    assert_eq!(not["text"]["plain"], not["text"]["steered"]);
    assert_eq!(much["text"]["plain"], not["text"]["plain"], "of one seed");
    assert_ne!(
        much["text"]["plain"]["text"],
        much["text"]["steered"]["text"]
    );
    let id = much["id"].as_str().unwrap();
    let shown = lab.cli(&["job", "show", id]);
    assert_eq!(shown["text"], much["text"]);
    let failed = lab.try_cli(&["generate", "--model", "tiny", "--chat", "Hello"]);
    assert_eq!(failed.status.code(), Some(1));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert!(said.contains("chat_template"), "{said}");
}

#[tokio::test]
async fn ctrl_c_ends_the_job() {
    let lab = Lab::new().await;
    let _daemon = lab.start();
    lab.furnish().await;
    // As a person runs it, in a program of its own.
    let mut child = Command::new(program("trainmaster"))
        .env("TRAINMASTER_STATE_DIR", lab.state())
        .args(["generate", "--model=tiny", "--max-tokens=5000", "--seed=3"])
        .args(["--temperature=1", "Emma"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first remark names the job; the run may be loading, writing, or be queued still.
    let mut remarks = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    remarks.read_line(&mut first).unwrap();
    let id = first.split(';').next().unwrap().to_owned();
    assert!(id.starts_with("job_"), "{first}");
    signal(child.id(), "INT");
    let status = tokio::task::spawn_blocking(move || child.wait().unwrap());
    let status = tokio::time::timeout(Duration::from_secs(60), status)
        .await
        .unwrap()
        .unwrap();
    let job: Value = lab.cli(&["job", "show", &id]);
    // A tiny model on an idle machine may have been faster than the signal.
    match job["status"].as_str() {
        Some("cancelled") => assert_eq!(status.code(), Some(130)),
        Some("completed") => assert_eq!(status.code(), Some(0)),
        other => panic!("{other:?}: {job}"),
    }
    wait_for_no_trainer(&lab.run_directory(&id));
}
