//! A cross-validation on SLURM: its folds are the tasks of one array, and what they found is gathered.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::path::PathBuf;
use trainmaster_tests::{
    images::write_squares,
    slurm::{Job, SlurmLab},
};

const FOLDS: u8 = 3;

/// Queues three folds on little images, and says the cross-validation's id.
fn cross_validate(slurm: &SlurmLab, steps: u32) -> String {
    let (images, labels) = write_squares(&slurm.lab.state().join("squares"), 2 * FOLDS);
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let steps = steps.to_string();
    let answer = slurm.lab.cli(&[
        "segment",
        "--on",
        "slurm",
        "--name",
        "squares",
        "--images",
        &text(images),
        "--labels",
        &text(labels),
        "--folds",
        "3",
        "--steps",
        &steps,
        "--patch-size",
        "16",
        "--batch-size",
        "2",
        "--base-channels",
        "4",
        "--depth",
        "1",
        "--checkpoint-interval",
        "10",
        "--set",
        "warmupSteps=0",
    ]);
    answer["id"].as_str().unwrap().to_owned()
}

/// (fold, training's status, job's status, sbatch id, models) of each row of `pic.training`, by fold.
async fn rows(slurm: &SlurmLab) -> Vec<(i32, String, String, String, i64)> {
    sqlx::query_as(
        "SELECT j.fold_index::int, t.status, j.status, j.sbatch_id, (SELECT count(*) FROM pic.model AS m WHERE m.training_id = t.id)
           FROM pic.training AS t
           JOIN pic.jobs AS j ON j.id = t.job_id
          ORDER BY 1",
    )
    .fetch_all(slurm.lab.pool())
    .await
    .unwrap()
}

/// Waits until the cross-validation has come to rest, and answers with it.
fn wait(slurm: &SlurmLab, id: &str) -> Value {
    let output = slurm
        .lab
        .try_cli(&["cross-validation", id, "--wait", "--timeout", "120"]);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_else(|error| {
        panic!(
            "{error}: {text}{}; SLURM: {:#?}",
            String::from_utf8_lossy(&output.stderr),
            slurm.cluster.jobs()
        )
    })
}

#[tokio::test]
async fn three_folds_are_one_array_and_their_results_are_gathered() {
    let Some(slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    let _daemon = slurm.lab.start();
    let id = cross_validate(&slurm, 20);
    let found = wait(&slurm, &id);
    assert_eq!(found["status"], "completed", "{found:#}");

    let calls = slurm.cluster.wrappers().calls("sbatch");
    assert_eq!(calls.len(), 1, "{calls:#?}");
    let mut numbers: Vec<String> = slurm.cluster.jobs().into_iter().map(|job| job.id).collect();
    numbers.sort();
    assert_eq!(numbers, ["1_0", "1_1", "1_2"]);
    for told in slurm.told().await {
        slurm.wait_for_pic_status(&told.run, "COMPLETED").await;
    }
    let expected: Vec<_> = (0..i32::from(FOLDS))
        .map(|fold| {
            let words = ["TRAINED".to_owned(), "COMPLETED".to_owned()];
            let [training, job] = words;
            (fold, training, job, format!("1_{fold}"), 1)
        })
        .collect();
    assert_eq!(rows(&slurm).await, expected);

    // Each has been measured on images that the others were trained on, and all of them on each image once.
    let text = found.to_string();
    assert!(text.contains("dice"), "{found:#}");
    slurm.assert_each_submitted_once().await;
    slurm.assert_rebuild_equals_live().await;
}

#[tokio::test]
async fn a_fold_that_fails_leaves_the_others_alone() {
    let Some(mut slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    slurm.let_stand_in_work_but_fail(0.2, 1);
    let _daemon = slurm.lab.start();
    let id = cross_validate(&slurm, 20);
    let found = wait(&slurm, &id);
    assert_eq!(found["status"], "failed", "{found:#}");
    for told in slurm.told().await {
        let wanted = if told.sbatch_id.as_deref() == Some("1_1") {
            "FAILED"
        } else {
            "COMPLETED"
        };
        slurm.wait_for_pic_status(&told.run, wanted).await;
    }
    let trainings: Vec<String> = rows(&slurm).await.into_iter().map(|row| row.1).collect();
    assert_eq!(trainings, ["TRAINED", "FAILED", "TRAINED"]);
    let models: i64 = sqlx::query_scalar("SELECT count(*) FROM pic.model")
        .fetch_one(slurm.lab.pool())
        .await
        .unwrap();
    assert_eq!(models, 2);
    assert!(slurm.cluster.jobs().iter().all(Job::is_over));
    slurm.assert_each_submitted_once().await;
}
