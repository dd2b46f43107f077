//! The command line about images and clusters.

use crate::{
    client::serve,
    fixture::{Interface, images},
    images::{claim, run, started, tell},
};
use serde_json::{Value, json};
use trainmaster_domain::{
    run::journal::{self, Record, SegmentationQuality},
    training::{Training, TrainingCommand},
};

#[tokio::test]
async fn a_segmentation_is_asked_for_watched_and_shown() {
    let interface = Interface::new().await;
    let served = serve(&interface).await;
    let (images, labels) = images(interface.directory.path(), 4);
    let asked = served
        .run(&[
            "segment",
            "--images",
            &images,
            "--labels",
            &labels,
            "--steps=10",
            "--depth=2",
            "--set",
            "diceWeight=0.7",
            "--no-augmentation",
            "--on=slurm",
            "--cpus=2",
            "--memory=4G",
            "--time=1:30:00",
        ])
        .await;
    assert_eq!(asked.code, 0, "{asked:?}");
    let id = asked.stdout.trim().to_owned();
    assert!(id.starts_with("seg_"), "{asked:?}");
    let shown = served.run(&["show", &id, "--json"]).await.json();
    assert_eq!(shown["settings"]["trainingSteps"], 10);
    assert_eq!(shown["settings"]["diceWeight"], 0.7);
    assert_eq!(shown["settings"]["augment"], false);
    assert_eq!(
        shown["placement"],
        json!({ "cluster": "campus", "resources": { "cpus": 2, "memoryMib": 4096, "timeLimitMinutes": 90 } })
    );
    let directory = interface.directory.path().file_name().unwrap();
    assert_eq!(shown["name"], json!(directory.to_str().unwrap()));

    let watch = ["watch", &id];
    let watching = served.run(&watch);
    let living = async {
        tell::<Training>(&interface, &id, TrainingCommand::Claim(claim())).await;
        let quality = SegmentationQuality {
            step: 10,
            images: 1,
            loss: 0.25,
            dice: vec![Some(0.75)],
            mean_dice: Some(0.75),
        };
        let finished = journal::Finished {
            step: 10,
            path: "/runs/x/result".into(),
            sha256: "ab".repeat(32),
        };
        let records = vec![
            started(),
            Record::SegmentationEvaluated(quality),
            Record::Completed(finished),
        ];
        run(&interface, &id, 1, records).await;
    };
    let (watched, ()) = tokio::join!(watching, living);
    assert_eq!(watched.code, 0, "{watched:?}");
    assert!(
        watched.stdout.contains("completed: /runs/x/result"),
        "{watched:?}"
    );

    let shown = served.run(&["segmentations", "show", &id]).await;
    for line in ["completed", "Dice 0.750", "_model (", "campus (cpus=2"] {
        assert!(shown.stdout.contains(line), "{line}: {shown:?}");
    }
    let listed = served.run(&["segmentations"]).await;
    assert!(
        listed.stdout.contains(&id) && listed.stdout.contains("0.7500"),
        "{listed:?}"
    );
    let of_the_studio = served.run(&["ls"]).await;
    assert!(!of_the_studio.stdout.contains(&id), "{of_the_studio:?}");

    let predicted = served.run(&["predict", &id, &images, "--json"]).await;
    assert_eq!(predicted.code, 0, "{predicted:?}");
    let job = predicted.json()["id"].as_str().unwrap().to_owned();
    let shown = served.run(&["show", &job]).await;
    assert!(shown.stdout.contains("prediction"), "{shown:?}");
    assert!(
        shown.stdout.contains(&format!("predictions/{job}")),
        "{shown:?}"
    );
    let removed = served.run(&["rm", &id, "--yes"]).await;
    assert_eq!(removed.code, 1, "{removed:?}");
    assert!(removed.stderr.contains("[in_use]"), "{removed:?}");
    assert_eq!(served.run(&["job", "cancel", &job]).await.code, 0);
    assert_eq!(served.run(&["rm", &id, "--yes"]).await.code, 0);
    assert_eq!(served.run(&["show", &id]).await.code, 4);
    served.end().await;
}

#[tokio::test]
async fn a_cross_validation_is_asked_for_and_listed() {
    let interface = Interface::new().await;
    let served = serve(&interface).await;
    let (images, labels) = images(interface.directory.path(), 4);
    let asked = served
        .run(&[
            "segment",
            "--images",
            &images,
            "--labels",
            &labels,
            "--folds=3",
            "--name=hearts",
            "--on",
            "campus",
            "--array-limit=2",
            "--json",
        ])
        .await;
    assert_eq!(asked.code, 0, "{asked:?}");
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("cv_"), "{asked:?}");
    let shown = served.run(&["cross-validation", &id]).await;
    for part in ["hearts", "queued", "campus (arrayLimit=2)"] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    assert_eq!(served.run(&["show", &id]).await.stdout, shown.stdout);
    let listed = served.run(&["cross-validation"]).await;
    assert!(listed.stdout.contains(&id), "{listed:?}");
    let waited = served
        .run(&["cross-validation", &id, "--wait", "--timeout=1"])
        .await;
    assert_eq!(waited.code, 5, "{waited:?}");
    let unknown = served.run(&["cross-validation", "cv_none"]).await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(
        unknown.stderr.contains("[cross_validation_not_found]"),
        "{unknown:?}"
    );
    served.end().await;
}

#[tokio::test]
async fn what_is_said_wrongly_is_not_understood_and_what_cannot_be_is_refused() {
    let interface = Interface::new().await;
    let served = serve(&interface).await;
    let (images, labels) = images(interface.directory.path(), 2);
    let pair = ["--images", &images, "--labels", &labels];
    for (arguments, code, says) in [
        (vec!["segment", "--images", "x"], 2, "--labels"),
        ([&["segment"][..], &pair, &["--cpus=2"]].concat(), 2, "--on"),
        (
            [&["segment"][..], &pair, &["--on=slurm", "--memory=much"]].concat(),
            2,
            "4G",
        ),
        (
            [&["segment"][..], &pair, &["--on=slurm", "--time=soon"]].concat(),
            2,
            "2-12:00",
        ),
        (
            [&["segment"][..], &pair, &["--folds=3", "--held-out=0.1"]].concat(),
            2,
            "--held-out",
        ),
        (
            [&["segment"][..], &pair, &["--folds=70000"]].concat(),
            2,
            "70000",
        ),
        (
            [&["segment"][..], &pair, &["--folds=3"]].concat(),
            1,
            "[invalid_field]",
        ),
        (
            [&["segment"][..], &pair, &["--depth=9"]].concat(),
            1,
            "[invalid_hyperparameter]",
        ),
        (
            [&["segment"][..], &pair, &["--on=mars"]].concat(),
            1,
            "there are: campus [unknown_cluster]",
        ),
        (
            [&["segment"][..], &pair, &["--on=slurm", "--cpus=0"]].concat(),
            1,
            "[invalid_placement]",
        ),
        (
            vec!["segment", "--images", "/nowhere", "--labels", &labels],
            1,
            "[images_not_found]",
        ),
        (vec!["predict", "seg_none"], 2, "IMAGE"),
        (vec!["predict", "seg_none", &images], 1, "[model_not_found]"),
        (
            vec!["segmentations", "show", "seg_none"],
            4,
            "[segmentation_not_found]",
        ),
        (
            vec!["slurm", "show", "seg_none"],
            4,
            "[slurm_job_not_found]",
        ),
        (vec!["slurm", "--status=odd"], 2, "pending"),
        (vec!["cross-validation", "--wait"], 2, "ID"),
    ] {
        let ran = served.run(&arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{says}: {ran:?}");
        assert!(code == 2 || ran.stderr.lines().count() == 1, "{ran:?}");
    }
    let slurm = served.run(&["slurm"]).await;
    assert_eq!(slurm.code, 0, "{slurm:?}");
    assert!(
        slurm.stdout.starts_with("cluster campus does not answer: "),
        "{slurm:?}"
    );
    let slurm = served.run(&["slurm", "--json"]).await.json();
    assert_eq!(slurm["jobs"], json!([]), "{slurm}");
    assert_ne!(slurm["clusters"], Value::Null);
    served.end().await;
}
