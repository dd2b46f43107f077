//! Images, end to end on this machine: a network is trained from a command, with the daemon stopped meanwhile, and segments what it has not
//! seen; the tables of `pic` say so.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::Path;
use std::time::{Duration, Instant};
use trainmaster_tests::lab::{Lab, wait_for_trainer};

const SIDE: usize = 32;

/// A picture as a NIfTI file of bytes: a square is brighter than the ground, which is not all of one brightness. And which pixel is of it.
fn picture(number: usize) -> [Vec<u8>; 2] {
    let (left, top, side) = (3 + 5 * (number % 4), 2 + 7 * (number % 3), 8 + number % 3);
    let within = |at: usize| {
        let (x, y) = (at % SIDE, at / SIDE);
        (left..left + side).contains(&x) && (top..top + side).contains(&y)
    };
    let image = |at: usize| (if within(at) { 150 } else { 60 }) + (at * 37 % 23) as u8;
    [
        file((0..SIDE * SIDE).map(image)),
        file((0..SIDE * SIDE).map(|at| u8::from(within(at)))),
    ]
}

fn file(values: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    let side = (SIDE as i16).to_le_bytes();
    let fields: [(usize, &[u8]); 7] = [
        (0, &348i32.to_le_bytes()),
        (40, &[2, 0]),
        (42, &side),
        (44, &side),
        (70, &[2, 0, 8, 0]),
        (108, &352f32.to_le_bytes()),
        (344, b"n+1\0"),
    ];
    for (at, value) in fields {
        bytes[at..at + value.len()].copy_from_slice(value);
    }
    bytes.extend(values);
    bytes
}

/// Directories of images and labels in one, whose paths they are.
fn draw(directory: &Path, numbers: std::ops::Range<usize>) -> [String; 2] {
    let paths = ["images", "labels"].map(|name| directory.join(name));
    for path in &paths {
        std::fs::create_dir_all(path).unwrap();
    }
    for number in numbers {
        for (path, bytes) in paths.iter().zip(picture(number)) {
            std::fs::write(path.join(format!("{number}.nii")), bytes).unwrap();
        }
    }
    paths.map(|path| path.to_str().unwrap().to_owned())
}

async fn wait_for_status(lab: &Lab, name: &str, wanted: &str) {
    let begun = Instant::now();
    let query = "SELECT status FROM pic.training WHERE name = $1";
    let mut status: Option<String> = None;
    while begun.elapsed() < Duration::from_secs(120) {
        let found = sqlx::query_scalar(query).bind(name);
        status = found.fetch_optional(lab.pool()).await.unwrap();
        if status.as_deref() == Some(wanted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{name} is {status:?}, not {wanted}");
}

#[tokio::test]
async fn images_are_trained_on_and_segmented() {
    let lab = Lab::new().await;
    let folder = tempfile::tempdir().unwrap();
    let seen = draw(&folder.path().join("seen"), 0..10);
    let unseen = draw(&folder.path().join("unseen"), 10..13);
    let daemon = lab.start();
    let arguments = "--name squares --steps 150 --patch-size 32 --batch-size 4 --base-channels 8 --depth 2 --learning-rate 0.01 \
                     --checkpoint-interval 50 --set warmupSteps=10";
    let mut command = vec!["segment", "--images", &seen[0], "--labels", &seen[1]];
    command.extend(arguments.split_whitespace());
    let id = lab.cli(&command)["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("seg_"), "{id}");
    let _ = wait_for_trainer(&lab.run_directory(&id));
    assert!(daemon.stop().success());
    let _daemon = lab.start();
    wait_for_status(&lab, "squares", "TRAINED").await;

    let (progress, model): (f64, String) = sqlx::query_as(
        "SELECT t.progress, m.model_name FROM pic.training t JOIN pic.model m ON m.training_id = t.id WHERE t.name = 'squares'",
    )
    .fetch_one(lab.pool())
    .await
    .unwrap();
    assert_eq!((progress, model.as_str()), (100.0, "squares_model"));
    let output = folder.path().join("found");
    let job = lab.cli(&[
        "predict",
        &id,
        &unseen[0],
        "--labels",
        &unseen[1],
        "--output",
        output.to_str().unwrap(),
        "--wait",
    ]);
    let found = job["id"].as_str().unwrap();
    assert!(output.join("10.nii").is_file() && output.join("prediction.json").is_file());
    let (status, count, dice): (String, i32, f64) = sqlx::query_as(
        "SELECT status, (prediction->>'count')::int, (prediction->>'mean_dice')::float FROM pic.inference WHERE output_dir = $1",
    )
    .bind(output.to_str().unwrap())
    .fetch_one(lab.pool())
    .await
    .unwrap();
    assert_eq!((status.as_str(), count), ("COMPLETED", 3), "{found}");
    assert!(dice > 0.85, "{job:#}");
    lab.cli(&["log", "verify"]);
}
