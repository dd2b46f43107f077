//! Training on images and predicting with what was trained, by the real program.

#![allow(clippy::unwrap_used)]

#[path = "run/directory.rs"]
#[allow(dead_code)]
mod directory;
#[path = "segmentation/scene.rs"]
mod scene;

use directory::RunDirectory;
use scene::{HEIGHT, Scene, WIDTH, draw, nifti, png, settings, work};
use std::path::Path;
use std::time::Duration;
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{
    FailureClass, Finished, Predicted, Record, SegmentationQuality,
};
use trainmaster_domain::run::spec::{PredictSegmentation, TrainSegmentation, Work};
use trainmaster_domain::segmentation::{SegmentationSettings, Split};
use trainmaster_trainer::segmentation::{checkpoint, image, model};
use trainmaster_trainer::tensor_file::{TensorFile, write_tensors};

fn failure(run: &RunDirectory, lease: u64) -> (String, String) {
    assert_eq!(run.wait(run.start(lease)), Some(0));
    match run.last(lease) {
        Record::Failed(failure) => {
            assert_eq!(failure.class, FailureClass::Workload, "{}", failure.message);
            (failure.code, failure.message)
        }
        other => panic!("{other:?}"),
    }
}

fn completed(run: &RunDirectory, train: TrainSegmentation) -> Finished {
    run.spec(1, work(train));
    assert_eq!(run.wait(run.start(1)), Some(0));
    match run.last(1) {
        Record::Completed(finished) => finished,
        other => panic!("{other:?}"),
    }
}

fn evaluations(run: &RunDirectory) -> Vec<SegmentationQuality> {
    let said = run.journal().into_iter().map(|line| line.record);
    said.filter_map(|record| match record {
        Record::SegmentationEvaluated(quality) => Some(quality),
        _ => None,
    })
    .collect()
}

#[test]
fn a_training_tells_its_story_learns_and_leaves_a_network_that_describes_itself() {
    let scene = Scene::new(8, 2);
    let run = RunDirectory::new();
    let result = run.path().join("elsewhere/model");
    let finished = completed(
        &run,
        TrainSegmentation {
            result_path: Some(result.to_string_lossy().into_owned()),
            ..scene.train(SegmentationSettings {
                training_steps: 150,
                checkpoint_interval: 75,
                ..settings()
            })
        },
    );
    assert_eq!(Path::new(&finished.path), result);
    assert_eq!(run.hash(&result), finished.sha256);

    let (mut steps, mut losses, mut checkpoints) = (vec![], vec![], vec![]);
    for line in run.journal() {
        match line.record {
            Record::TrainingStarted(started) => assert_eq!(started.at_step, 0),
            Record::Metrics(batch) => {
                assert_eq!(batch.dice.len(), batch.steps.len());
                assert!(batch.sparsity.is_empty() && batch.tokens_per_second > 0.0);
                assert!(batch.dice.iter().all(|dice| (0.0..=1.0).contains(dice)));
                steps.extend(batch.steps);
                losses.extend(batch.loss);
            }
            Record::CheckpointSaved(saved) => {
                assert_eq!(run.hash(Path::new(&saved.path)), saved.sha256);
                assert!(saved.loss.is_some() && saved.sparsity.is_none());
                checkpoints.push(saved.step);
            }
            _ => {}
        }
    }
    assert_eq!(
        steps,
        (0..=15)
            .map(|n| if n == 0 { 1 } else { 10 * n })
            .collect::<Vec<_>>()
    );
    assert_eq!(checkpoints, [75, 150]);
    assert!(losses.last() < losses.first());

    let evaluations = evaluations(&run);
    assert_eq!(
        evaluations
            .iter()
            .map(|found| found.step)
            .collect::<Vec<_>>(),
        [75, 150]
    );
    let last = evaluations.last().unwrap();
    assert_eq!(last.dice.len(), 2);
    assert!(last.mean_dice.unwrap() > 0.8, "{last:?}");

    let (network, config) = model::load(&result, tch::Device::Cpu).unwrap();
    assert_eq!((network.shape().channels, network.shape().classes), (1, 3));
    assert_eq!(
        (config.steps, config.patch_size, config.held_out.len()),
        (150, 32, 2)
    );
    // Slices that were measured are those of the files that were held out.
    let slices = |stem: &String| if stem.starts_with("volume") { 3 } else { 1 };
    assert_eq!(last.images, config.held_out.iter().map(slices).sum::<u64>());
}

#[test]
fn kills_and_pauses_leave_the_weights_of_a_training_in_one_go() {
    let scene = Scene::new(6, 1);
    let settings = SegmentationSettings {
        training_steps: 240,
        checkpoint_interval: 17,
        ..settings()
    };
    let whole = completed(&RunDirectory::new(), scene.train(settings.clone()));
    let broken = RunDirectory::new();
    for (lease, how) in [(1, "kill"), (2, "pause"), (3, "kill"), (4, "end")] {
        let from = broken.latest_checkpoint();
        let before = from.as_ref().map_or(0, |from| from.step);
        let train = TrainSegmentation {
            resume_from: from,
            ..scene.train(settings.clone())
        };
        broken.spec(lease, work(train));
        let mut child = broken.start(lease);
        if how == "end" {
            assert_eq!(broken.wait(child), Some(0));
            break;
        }
        broken.until(&mut child, || {
            let now = broken.latest_checkpoint();
            now.is_some_and(|now| now.step > before)
        });
        if how == "kill" {
            std::thread::sleep(Duration::from_millis(7 * lease));
            child.kill().unwrap();
            assert_eq!(broken.wait(child), None, "it was killed before it was done");
        } else {
            broken.control(lease, Request::Pause);
            assert_eq!(broken.wait(child), Some(0));
            assert!(matches!(broken.last(lease), Record::Paused(_)));
        }
    }
    let Record::Completed(finished) = broken.last(4) else {
        panic!("{:?}", broken.last(4));
    };
    assert_eq!(
        finished.sha256, whole.sha256,
        "bit for bit the same network"
    );
}

#[test]
fn a_measurement_that_is_broken_off_by_a_pause_is_made_when_the_training_goes_on() {
    // Much to measure after one step.
    let scene = Scene::new(60, 0);
    let settings = SegmentationSettings {
        training_steps: 1,
        patch_size: 16,
        held_out: 0.9,
        ..settings()
    };
    let whole = completed(&RunDirectory::new(), scene.train(settings.clone()));
    let run = RunDirectory::new();
    run.spec(1, work(scene.train(settings.clone())));
    let mut child = run.start(1);
    run.until(&mut child, || run.latest_checkpoint().is_some());
    run.control(1, Request::Pause);
    assert_eq!(run.wait(child), Some(0));
    assert!(matches!(run.last(1), Record::Paused(at) if at.step == 1));
    assert!(evaluations(&run).is_empty());

    let train = TrainSegmentation {
        resume_from: run.latest_checkpoint(),
        ..scene.train(settings)
    };
    run.spec(2, work(train));
    assert_eq!(run.wait(run.start(2)), Some(0));
    assert!(matches!(run.last(2), Record::Completed(finished) if finished.sha256 == whole.sha256));
    let evaluations = evaluations(&run);
    assert_eq!((evaluations.len(), evaluations[0].images), (1, 54));
}

#[test]
fn a_fold_is_held_out_and_a_stop_keeps_what_was_trained() {
    let scene = Scene::new(6, 0);
    let mut unseen = vec![];
    for index in 0..3 {
        let run = RunDirectory::new();
        let finished = completed(
            &run,
            TrainSegmentation {
                split: Some(Split {
                    index,
                    folds: 3,
                    seed: 9,
                }),
                ..scene.train(SegmentationSettings {
                    training_steps: 2,
                    ..settings()
                })
            },
        );
        let (_, config) = model::load(Path::new(&finished.path), tch::Device::Cpu).unwrap();
        unseen.extend(config.held_out);
    }
    unseen.sort();
    assert_eq!(
        unseen,
        (0..6).map(|n| format!("picture-{n}")).collect::<Vec<_>>()
    );

    let run = RunDirectory::new();
    run.spec(
        1,
        work(scene.train(SegmentationSettings {
            training_steps: 100_000,
            checkpoint_interval: 10,
            ..settings()
        })),
    );
    let mut child = run.start(1);
    run.until(&mut child, || run.latest_checkpoint().is_some());
    run.control(1, Request::Stop);
    assert_eq!(run.wait(child), Some(0));
    let Record::Stopped(finished) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(run.hash(Path::new(&finished.path)), finished.sha256);
}

#[test]
fn weights_that_are_no_numbers_and_other_images_are_refused() {
    let scene = Scene::new(3, 0);
    let run = RunDirectory::new();
    let settings = SegmentationSettings {
        training_steps: 4,
        checkpoint_interval: 2,
        ..settings()
    };
    completed(&run, scene.train(settings.clone()));
    let mut first = run
        .journal()
        .into_iter()
        .find_map(|line| match line.record {
            Record::CheckpointSaved(saved) => Some(saved),
            _ => None,
        });
    let saved = first.take().unwrap();
    let path = Path::new(&saved.path);
    let from = |sha256: String| trainmaster_domain::run::spec::ResumeFrom {
        step: 2,
        path: saved.path.clone(),
        sha256,
    };
    let resume = |lease, sha256: String, settings: &SegmentationSettings| {
        let train = TrainSegmentation {
            resume_from: Some(from(sha256)),
            ..scene.train(settings.clone())
        };
        run.spec(lease, work(train));
        failure(&run, lease)
    };
    // Of other settings.
    let other = SegmentationSettings {
        seed: 1,
        ..settings.clone()
    };
    assert_eq!(resume(2, saved.sha256.clone(), &other).0, "shape_mismatch");
    // With weights that are no numbers, under their own hash.
    let file = path.join("state.safetensors");
    let names = ["parameters", "first_moment", "second_moment"];
    let tensors = TensorFile::open(&file).unwrap();
    let tensors = names.map(|name| tensors.tensor(name, &[-1]).unwrap());
    let mut parameters = tensors[0].shallow_clone();
    let _ = parameters.fill_(f64::NAN);
    let [first, second] = [&tensors[1], &tensors[2]];
    write_tensors(
        &file,
        &[
            (names[0], &parameters),
            (names[1], first),
            (names[2], second),
        ],
    )
    .unwrap();
    assert_eq!(resume(3, saved.sha256.clone(), &settings).0, "file_altered");
    let (code, message) = resume(4, run.hash(path), &settings);
    assert_eq!(code, "loss_not_finite");
    assert!(
        message.contains("step 3") && message.contains("learningRate"),
        "{message}"
    );
    // Of other images.
    png(&scene.images().join("picture-0.png"), &draw(77).0);
    assert_eq!(resume(5, run.hash(path), &settings).0, "content_changed");
    let state = checkpoint::load(path, &settings, network_of(&run), "other", tch::Device::Cpu);
    assert!(state.is_err());
}

fn network_of(run: &RunDirectory) -> trainmaster_trainer::segmentation::unet::Shape {
    let result = run.path().join("result");
    model::load(&result, tch::Device::Cpu).unwrap().0.shape()
}

fn predict(model: &Finished, images: &[&Path], labels: Option<&Path>, output: &Path) -> Work {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Work::PredictSegmentation(Box::new(PredictSegmentation {
        model_path: model.path.clone(),
        model_sha256: model.sha256.clone(),
        images: images.iter().map(|path| text(path)).collect(),
        labels_path: labels.map(text),
        output_dir: text(output),
    }))
}

fn predicted(run: &RunDirectory, lease: u64, work: Work) -> Predicted {
    run.spec(lease, work);
    assert_eq!(run.wait(run.start(lease)), Some(0));
    match run.last(lease) {
        Record::Predicted(predicted) => *predicted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pictures_and_volumes_are_segmented_into_files_like_them() {
    let scene = Scene::new(6, 1);
    let run = RunDirectory::new();
    let model = completed(
        &run,
        scene.train(SegmentationSettings {
            training_steps: 150,
            held_out: 0.0,
            ..settings()
        }),
    );
    assert!(evaluations(&run).is_empty());

    let unseen = Scene::new(0, 0);
    let (image, labels) = draw(1_000);
    png(&unseen.images().join("a.png"), &image);
    png(&unseen.labels().join("a.png"), &labels);
    let (image, labels): (Vec<_>, Vec<_>) = (2_000..2_002).map(draw).unzip();
    let shape = [WIDTH as i16, HEIGHT as i16, 2];
    let (image, labels) = (
        nifti(shape, &image.concat()),
        nifti(shape, &labels.concat()),
    );
    std::fs::write(unseen.labels().join("b.nii"), &labels).unwrap();
    let compressed = std::fs::File::create(unseen.images().join("b.nii.gz")).unwrap();
    let mut compressed = flate2::write::GzEncoder::new(compressed, flate2::Compression::fast());
    std::io::Write::write_all(&mut compressed, &image).unwrap();
    compressed.finish().unwrap();

    let output = run.path().join("predictions");
    let work = predict(&model, &[&unseen.images()], Some(&unseen.labels()), &output);
    let found = predicted(&run, 2, work);
    assert_eq!(Path::new(&found.output_dir), output);
    let all = &found.prediction;
    assert_eq!((&all["count"], &all["classes"]), (&2.into(), &3.into()));
    assert!(all["mean_dice"].as_f64().unwrap() > 0.8, "{all:#}");
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(output.join("prediction.json")).unwrap()).unwrap();
    assert_eq!(&summary, all);
    for (one, (name, slices, truth)) in all["images"].as_array().unwrap().iter().zip([
        ("a.png", 1, draw(1_000).1),
        ("b.nii.gz", 2, labels[352..].to_vec()),
    ]) {
        let file = output.join(name);
        assert_eq!(one["output"], file.to_string_lossy().as_ref());
        assert_eq!(one["slices"], slices);
        assert!((0.5..=1.0).contains(&one["mean_confidence"].as_f64().unwrap()));
        // What the record says is what the file holds.
        let mut reader = image::ImageReader::open(&file, image::Role::Labels).unwrap();
        let mut classes = vec![0.0; WIDTH * HEIGHT * slices];
        for slice in classes.chunks_exact_mut(WIDTH * HEIGHT) {
            reader.read_slice(slice).unwrap();
        }
        let right = classes
            .iter()
            .zip(&truth)
            .filter(|(found, truth)| **found == f32::from(**truth));
        assert!(right.count() as f64 > 0.9 * truth.len() as f64, "{one:#}");
        for class in 0..3 {
            let count = classes
                .iter()
                .filter(|found| **found == class as f32)
                .count();
            assert_eq!(one["pixels"][class], count);
            let part = count as f64 / classes.len() as f64;
            assert!((one["fractions"][class].as_f64().unwrap() - part).abs() < 1e-12);
        }
        if let image::ImageReader::Nifti(nifti) = reader {
            assert!(nifti.compressed);
            assert_eq!(nifti.header.of_labels()[280..328], image[280..328]);
        }
    }
    // Nothing unfinished is left.
    let names = std::fs::read_dir(&output).unwrap();
    assert_eq!(names.count(), 3);

    // Again, without labels, by the names of the files.
    let a = unseen.images().join("a.png");
    let again = predicted(&run, 3, predict(&model, &[&a, &a], None, &output));
    assert_eq!(again.prediction["count"], 1);
    assert!(again.prediction["images"][0].get("dice").is_none());
    assert_eq!(
        again.prediction["images"][0]["pixels"],
        all["images"][0]["pixels"]
    );

    // Into the images themselves; with a model that was altered; of images of another kind.
    let refused = |lease, work| {
        run.spec(lease, work);
        failure(&run, lease)
    };
    let (code, message) = refused(4, predict(&model, &[&a], None, &unseen.images()));
    assert_eq!(code, "shape_mismatch");
    assert!(message.contains("would replace"), "{message}");
    let other = Finished {
        sha256: "0".into(),
        ..model.clone()
    };
    assert_eq!(
        refused(5, predict(&other, &[&a], None, &output)).0,
        "file_altered"
    );
    let colour = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/colour.png");
    let (code, message) = refused(6, predict(&model, &[&colour], None, &output));
    assert_eq!(code, "shape_mismatch");
    assert!(message.contains("3 channels"), "{message}");
    assert_eq!(
        refused(7, predict(&model, &[], None, &output)).0,
        "dataset_empty"
    );
}

#[test]
fn what_cannot_be_trained_on_is_said_with_the_name_of_the_file() {
    let scene = Scene::new(3, 1);
    let run = RunDirectory::new();
    let mut lease = 0;
    let mut refused = |expected: &str, says: &[&str]| {
        lease += 1;
        run.spec(lease, work(scene.train(settings())));
        let (code, message) = failure(&run, lease);
        assert_eq!(code, expected, "{message}");
        for words in says {
            assert!(message.contains(words), "{message} does not say {words}");
        }
    };
    let (image, label) = (
        scene.images().join("picture-1.png"),
        scene.labels().join("picture-1.png"),
    );
    let (good_image, good_label) = (
        std::fs::read(&image).unwrap(),
        std::fs::read(&label).unwrap(),
    );

    std::fs::remove_file(&label).unwrap();
    refused(
        "file_missing",
        &["picture-1.png has no labels", "picture-1.nii.gz"],
    );
    std::fs::write(&label, &good_label[..good_label.len() - 20]).unwrap();
    refused("file_truncated", &["labels/picture-1.png"]);
    let volume = nifti([WIDTH as i16, HEIGHT as i16, 1], &draw(1).1);
    std::fs::remove_file(&label).unwrap();
    let label = scene.labels().join("picture-1.nii");
    std::fs::write(
        &label,
        nifti([WIDTH as i16, HEIGHT as i16 - 1, 1], &draw(1).1),
    )
    .unwrap();
    refused(
        "shape_mismatch",
        &["is 40 by 36 by 1", "picture-1.nii are 40 by 35 by 1"],
    );
    // Half a class, by the header's slope.
    let mut halves = volume.clone();
    halves[112..116].copy_from_slice(&0.5f32.to_le_bytes());
    std::fs::write(&label, &halves).unwrap();
    refused(
        "pixel_invalid",
        &["picture-1.nii has 0.5 at column", "whole numbers"],
    );
    let mut many = volume.clone();
    many[400] = 255;
    std::fs::write(&label, &many).unwrap();
    refused("pixel_invalid", &["255 at column 8, row 1", "254"]);
    std::fs::write(&label, &volume).unwrap();
    std::fs::write(scene.labels().join("picture-1.png"), &good_label).unwrap();
    refused("shape_mismatch", &["both called picture-1"]);
    std::fs::remove_file(&label).unwrap();

    // Images.
    let colour = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images/colour.png");
    std::fs::copy(&colour, scene.labels().join("picture-1.png")).unwrap();
    refused("unsupported", &["labels/picture-1.png has colours"]);
    std::fs::write(scene.labels().join("picture-1.png"), &good_label).unwrap();
    std::fs::write(&image, b"no image").unwrap();
    refused("file_truncated", &["images/picture-1.png"]);
    std::fs::write(&image, &good_image).unwrap();

    let image = scene.images().join("volume-0.nii");
    let good = std::fs::read(&image).unwrap();
    let mut with = |change: &dyn Fn(&mut Vec<u8>), code: &str, says: &str| {
        let mut bytes = good.clone();
        change(&mut bytes);
        std::fs::write(&image, bytes).unwrap();
        refused(code, &["volume-0.nii", says]);
    };
    with(
        &|bytes| bytes.truncate(bytes.len() - 1),
        "file_truncated",
        "its header promises 4672 bytes",
    );
    with(&|bytes| bytes.truncate(100), "file_truncated", "not whole");
    with(&|bytes| bytes[344..348].fill(0), "file_truncated", "NIfTI");
    with(&|bytes| bytes[345] = b'i', "unsupported", "another file");
    with(&|bytes| bytes[70] = 128, "unsupported", "colours");
    with(
        &|bytes| bytes[40..50].copy_from_slice(&[4, 0, 40, 0, 36, 0, 3, 0, 2, 0]),
        "unsupported",
        "a file of its own",
    );
    with(
        &|bytes| bytes[42..46].fill(0x7f),
        "unsupported",
        "16,777,216",
    );
    with(&|bytes| bytes[46] = 0, "file_truncated", "length 0");
    // A slope and an intercept that make infinity.
    with(
        &|bytes| {
            bytes[112..116].copy_from_slice(&f32::MAX.to_le_bytes());
            bytes[116..120].copy_from_slice(&f32::MAX.to_le_bytes());
        },
        "pixel_invalid",
        "inf at voxel (",
    );
    // Numbers that are none.
    with(
        &|bytes| {
            bytes[70] = 16;
            bytes.truncate(352);
            for at in 0..WIDTH * HEIGHT * 3 {
                let value = if at == WIDTH + 2 { f32::NAN } else { 1.0 };
                bytes.extend(value.to_le_bytes());
            }
        },
        "pixel_invalid",
        "NaN at voxel (2, 1, 0)",
    );
    std::fs::write(&image, &good).unwrap();

    // All of it.
    for n in 0..3 {
        png(
            &scene.labels().join(format!("picture-{n}.png")),
            &[0; WIDTH * HEIGHT],
        );
    }
    std::fs::write(
        scene.labels().join("volume-0.nii"),
        nifti([WIDTH as i16, HEIGHT as i16, 3], &[0; WIDTH * HEIGHT * 3]),
    )
    .unwrap();
    refused("dataset_empty", &["no label is other than 0"]);
    std::fs::copy(&colour, scene.images().join("picture-0.png")).unwrap();
    refused("shape_mismatch", &["picture-0.png"]);
    std::fs::remove_dir_all(scene.images()).unwrap();
    std::fs::create_dir(scene.images()).unwrap();
    refused(
        "dataset_empty",
        &["images has no .nii, .nii.gz or .png file"],
    );
    std::fs::remove_dir(scene.images()).unwrap();
    refused("file_missing", &["images"]);
}
