//! The run contract, kept by the real program on a tiny real-format Llama.

#![allow(clippy::unwrap_used)]

#[path = "run/directory.rs"]
mod directory;

use directory::{RunDirectory, dataset, hyperparameters, model, train};
use std::path::Path;
use std::time::Duration;
use trainmaster_domain::hyperparameters::Hyperparameters;
use trainmaster_domain::model::Quantization;
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{FailureClass, Record};
use trainmaster_domain::run::spec::{InspectModel, PrepareDataset, Work};
use trainmaster_trainer::autoencoder::Autoencoder;

fn fails_with(run: &RunDirectory, lease: u64, code: &str, class: FailureClass) -> String {
    assert_eq!(run.wait(run.start(lease)), Some(0));
    match run.last(lease) {
        Record::Failed(failure) => {
            assert_eq!(failure.code, code, "{}", failure.message);
            assert_eq!(failure.class, class);
            failure.message
        }
        other => panic!("{other:?} instead of {code}"),
    }
}

#[test]
fn a_model_is_inspected() {
    let run = RunDirectory::new();
    run.spec(
        1,
        Work::InspectModel(InspectModel {
            model_path: model(),
            architecture: Some("llama".into()),
            ..InspectModel::default()
        }),
    );
    assert_eq!(run.wait(run.start(1)), Some(0));
    let Record::ModelInspected(found) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert!(found.params_count > 0);
    assert_eq!(found.architecture.as_deref(), Some("llama"));
    assert_eq!(found.quantization, Some(Quantization::Fp16));
    assert_eq!(found.converts_to, None);
    assert_eq!(found.architecture_config["hidden_size"], 64);
}

#[test]
fn a_training_tells_its_story_in_order_and_leaves_an_autoencoder() {
    let run = RunDirectory::new();
    run.spec(
        3,
        train(Hyperparameters {
            training_steps: 50,
            log_interval: 10,
            checkpoint_interval: 20,
            ..hyperparameters()
        }),
    );
    assert_eq!(run.wait(run.start(3)), Some(0));
    let journal = run.journal();
    assert!(journal.iter().all(|record| record.lease.0 == 3));
    let numbers: Vec<u64> = journal.iter().map(|record| record.seq).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());

    let records: Vec<&Record> = journal.iter().map(|line| &line.record).collect();
    assert!(matches!(records[0], Record::Started(_)));
    let mut steps: Vec<u64> = Vec::new();
    let mut checkpoints = Vec::new();
    for record in &records {
        match record {
            Record::TrainingStarted(started) => {
                assert_eq!(
                    (started.at_step, started.d_in, started.d_sae),
                    (0, Some(64), Some(512))
                );
            }
            Record::Metrics(batch) => {
                steps.extend(&batch.steps);
                assert!(batch.loss.iter().all(|loss| loss.is_finite()));
                assert!(batch.tokens_per_second > 0.0);
            }
            Record::CheckpointSaved(checkpoint) => {
                assert_eq!(run.hash(Path::new(&checkpoint.path)), checkpoint.sha256);
                // Every metric of the steps before has been told.
                assert!(steps.iter().all(|step| *step <= checkpoint.step));
                checkpoints.push(checkpoint.step);
            }
            _ => {}
        }
    }
    assert_eq!(steps, [1, 10, 20, 30, 40, 50]);
    assert_eq!(checkpoints, [20, 40, 50]);
    let Record::Completed(finished) = records[records.len() - 1] else {
        panic!("{:?}", records.last());
    };
    assert_eq!(finished.step, 50);
    assert_eq!(run.hash(Path::new(&finished.path)), finished.sha256);
    let autoencoder = Autoencoder::load(Path::new(&finished.path), tch::Device::Cpu).unwrap();
    assert_eq!(autoencoder.w_enc.size(), [64, 512]);
}

#[test]
fn the_loss_falls_and_the_variance_is_explained() {
    let run = RunDirectory::new();
    run.spec(
        1,
        train(Hyperparameters {
            training_steps: 300,
            log_interval: 1,
            ..hyperparameters()
        }),
    );
    assert_eq!(run.wait(run.start(1)), Some(0));
    let (mut losses, mut explained) = (Vec::new(), Vec::new());
    for line in run.journal() {
        if let Record::Metrics(batch) = line.record {
            losses.extend(batch.loss);
            explained.extend(batch.explained_variance);
        }
    }
    assert_eq!(losses.len(), 300);
    assert!(
        losses[299] < 0.7 * losses[0],
        "{} to {}",
        losses[0],
        losses[299]
    );
    assert!(explained[299] > 0.5, "{}", explained[299]);
}

#[test]
fn three_kills_and_two_pauses_leave_the_weights_of_a_training_in_one_go() {
    for top_k in [None, Some(16)] {
        let h = Hyperparameters {
            training_steps: 400,
            checkpoint_interval: 23,
            log_interval: 7,
            ghost_grad_penalty: top_k.is_none(),
            dead_window_steps: 30,
            // Slow enough that a test on a busy machine is not too late to interrupt it.
            batch_size: 512,
            top_k,
            ..hyperparameters()
        };
        let whole = RunDirectory::new();
        whole.spec(1, train(h.clone()));
        assert_eq!(whole.wait(whole.start(1)), Some(0));
        let Record::Completed(expected) = whole.last(1) else {
            panic!("{:?}", whole.last(1));
        };

        let broken = RunDirectory::new();
        for (lease, how) in [
            (1, "kill"),
            (2, "pause"),
            (3, "kill"),
            (4, "kill"),
            (5, "pause"),
            (6, "end"),
        ] {
            let Work::Train(mut work) = train(h.clone()) else {
                unreachable!()
            };
            work.resume_from = broken.latest_checkpoint();
            let before = work.resume_from.as_ref().map_or(0, |from| from.step);
            broken.spec(lease, Work::Train(work));
            let mut child = broken.start(lease);
            match how {
                "kill" => {
                    broken.until(&mut child, || {
                        broken
                            .latest_checkpoint()
                            .is_some_and(|now| now.step > before)
                    });
                    // Somewhere between two checkpoints, and between two of a program's instructions.
                    std::thread::sleep(Duration::from_millis(lease * 4));
                    child.kill().unwrap();
                    assert_eq!(broken.wait(child), None, "it was killed before it was done");
                }
                "pause" => {
                    broken.until(&mut child, || {
                        broken
                            .latest_checkpoint()
                            .is_some_and(|now| now.step > before)
                    });
                    broken.control(lease, Request::Pause);
                    assert_eq!(broken.wait(child), Some(0));
                    let Record::Paused(at) = broken.last(lease) else {
                        panic!("{:?}", broken.last(lease));
                    };
                    assert_eq!(broken.latest_checkpoint().unwrap().step, at.step);
                }
                _ => assert_eq!(broken.wait(child), Some(0)),
            }
        }
        let Record::Completed(finished) = broken.last(6) else {
            panic!("{:?}", broken.last(6));
        };
        assert_eq!(
            finished.sha256, expected.sha256,
            "bit for bit the same result"
        );
    }
}

#[test]
fn a_request_of_another_lease_is_ignored_and_stop_keeps_the_result() {
    let run = RunDirectory::new();
    run.spec(2, train(hyperparameters()));
    run.control(1, Request::Pause);
    let mut child = run.start(2);
    run.until(&mut child, || run.latest_checkpoint().is_some());
    run.control(2, Request::Stop);
    assert_eq!(run.wait(child), Some(0));
    let Record::Stopped(finished) = run.last(2) else {
        panic!("{:?}", run.last(2));
    };
    assert!(finished.step > 0 && finished.step < u64::from(hyperparameters().training_steps));
    assert_eq!(run.hash(Path::new(&finished.path)), finished.sha256);
    Autoencoder::load(Path::new(&finished.path), tch::Device::Cpu).unwrap();
}

#[test]
fn sigterm_is_a_request_to_pause_and_a_pause_before_the_first_step_leaves_a_checkpoint() {
    let run = RunDirectory::new();
    run.spec(1, train(hyperparameters()));
    let mut child = run.start(1);
    run.until(&mut child, || !run.journal().is_empty());
    run.terminate(&child);
    assert_eq!(run.wait(child), Some(0));
    let Record::Paused(at) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(run.latest_checkpoint().unwrap().step, at.step);
}

#[test]
fn a_superseded_trainer_leaves_without_a_word() {
    let run = RunDirectory::new();
    run.spec(1, train(hyperparameters()));
    let mut child = run.start(1);
    run.until(&mut child, || run.latest_checkpoint().is_some());
    run.spec(2, train(hyperparameters()));
    assert_eq!(run.wait(child), Some(3));
    assert!(!matches!(
        run.last(1),
        Record::Completed(_) | Record::Failed(_) | Record::Paused(_) | Record::Stopped(_)
    ));
    // Nor does one that comes late begin.
    let before = run.journal().len();
    assert_eq!(run.wait(run.start(1)), Some(3));
    assert_eq!(run.journal().len(), before);
}

#[test]
fn the_heart_beats_and_its_progress_grows_with_the_work() {
    let run = RunDirectory::new();
    run.spec(1, train(hyperparameters()));
    let mut child = run.start(1);
    run.until(&mut child, || {
        run.heartbeat().is_some_and(|beat| beat.progress > 0)
    });
    let first = run.heartbeat().unwrap();
    run.until(&mut child, || {
        run.heartbeat()
            .is_some_and(|beat| beat.progress > first.progress && beat.beat > first.beat)
    });
    run.control(1, Request::Stop);
    assert_eq!(run.wait(child), Some(0));
}

#[test]
fn a_line_that_a_predecessor_left_unfinished_is_ended_first() {
    let run = RunDirectory::new();
    run.spec(
        2,
        train(Hyperparameters {
            training_steps: 2,
            ..hyperparameters()
        }),
    );
    std::fs::write(
        run.path().join("journal.jsonl"),
        "{\"lease\":1,\"seq\":1,\"at\"",
    )
    .unwrap();
    assert_eq!(run.wait(run.start(2)), Some(0));
    let text = std::fs::read_to_string(run.path().join("journal.jsonl")).unwrap();
    let (torn, rest) = text.split_once('\n').unwrap();
    assert_eq!(torn, "{\"lease\":1,\"seq\":1,\"at\"");
    assert!(rest.starts_with("{\"lease\":2,\"seq\":1,"));
}

#[test]
fn a_loss_that_is_not_finite_is_the_workloads_failure() {
    let run = RunDirectory::new();
    run.spec(
        1,
        train(Hyperparameters {
            learning_rate: 1e30,
            ..hyperparameters()
        }),
    );
    let said = fails_with(&run, 1, "loss_not_finite", FailureClass::Workload);
    assert!(said.contains("learningRate"), "{said}");
}

#[test]
fn weights_that_the_last_step_broke_are_no_result() {
    let run = RunDirectory::new();
    run.spec(
        1,
        train(Hyperparameters {
            learning_rate: 1e39,
            training_steps: 1,
            ..hyperparameters()
        }),
    );
    fails_with(&run, 1, "loss_not_finite", FailureClass::Workload);
    assert!(run.latest_checkpoint().is_none() && !run.path().join("result").exists());
}

#[test]
fn what_cannot_be_done_is_said() {
    let run = RunDirectory::new();
    let Work::Train(mut work) = train(hyperparameters()) else {
        unreachable!()
    };
    work.encoder_type = "transcoder".into();
    run.spec(1, Work::Train(work));
    fails_with(&run, 1, "unsupported", FailureClass::Workload);

    let mut spec = run.read_spec();
    spec["contract"] = 99.into();
    run.write_spec(&spec);
    let said = fails_with(&run, 1, "unsupported", FailureClass::Workload);
    assert!(said.contains("99"), "{said}");
}

#[test]
fn a_missing_and_a_truncated_model_are_told_apart() {
    let run = RunDirectory::new();
    let Work::Train(mut work) = train(hyperparameters()) else {
        unreachable!()
    };
    work.model_path = run.path().join("nowhere").to_string_lossy().into_owned();
    run.spec(1, Work::Train(work.clone()));
    fails_with(&run, 1, "file_missing", FailureClass::Workload);

    let copy = run.path().join("model");
    std::fs::create_dir(&copy).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(Path::new(&model()).join(file), copy.join(file)).unwrap();
    }
    let weights = std::fs::OpenOptions::new()
        .write(true)
        .open(copy.join("model.safetensors"))
        .unwrap();
    weights
        .set_len(weights.metadata().unwrap().len() / 2)
        .unwrap();
    work.model_path = copy.to_string_lossy().into_owned();
    run.spec(2, Work::Train(work));
    fails_with(&run, 2, "file_truncated", FailureClass::Workload);
}

#[test]
fn a_checkpoint_that_was_altered_or_does_not_fit_is_refused() {
    let run = RunDirectory::new();
    let h = Hyperparameters {
        training_steps: 10,
        checkpoint_interval: 5,
        ..hyperparameters()
    };
    run.spec(1, train(h.clone()));
    assert_eq!(run.wait(run.start(1)), Some(0));

    let Work::Train(mut work) = train(Hyperparameters {
        expansion_factor: 4,
        ..h
    }) else {
        unreachable!()
    };
    work.resume_from = run.latest_checkpoint();
    run.spec(2, Work::Train(work.clone()));
    fails_with(&run, 2, "shape_mismatch", FailureClass::Workload);

    let file = Path::new(&work.resume_from.as_ref().unwrap().path).join("state.safetensors");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    run.spec(3, Work::Train(work));
    fails_with(&run, 3, "file_altered", FailureClass::Workload);
}

#[test]
fn a_disk_without_room_for_a_checkpoint_is_said_and_nothing_half_is_left() {
    let run = RunDirectory::new();
    run.spec(
        1,
        train(Hyperparameters {
            training_steps: 10,
            checkpoint_interval: 5,
            ..hyperparameters()
        }),
    );
    let child = run.start_with_limit("f", 1, 128);
    assert_eq!(run.wait(child), Some(0));
    let Record::Failed(failure) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(failure.code, "disk_full", "{}", failure.message);
    assert_eq!(failure.class, FailureClass::Infrastructure);
    assert_eq!(
        std::fs::read_dir(run.path().join("checkpoints"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_dataset_without_text_is_empty() {
    let run = RunDirectory::new();
    let source = run.path().join("texts");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("nothing.txt"), "").unwrap();
    run.spec(
        1,
        Work::PrepareDataset(PrepareDataset {
            source_path: source.to_string_lossy().into_owned(),
            text_column: "text".into(),
            tokenizer_path: model(),
            context_length: 32,
            output_path: run.path().join("tokens").to_string_lossy().into_owned(),
            ..PrepareDataset::default()
        }),
    );
    fails_with(&run, 1, "dataset_empty", FailureClass::Workload);
}

#[test]
fn a_dataset_that_is_gone_is_missing() {
    let run = RunDirectory::new();
    let Work::Train(mut work) = train(hyperparameters()) else {
        unreachable!()
    };
    assert!(Path::new(&dataset()).join("tokens.bin").exists());
    work.tokenized_path = run.path().join("nowhere").to_string_lossy().into_owned();
    run.spec(1, Work::Train(work));
    fails_with(&run, 1, "file_missing", FailureClass::Workload);
}

#[test]
fn memory_that_cannot_be_had_is_said() {
    let run = RunDirectory::new();
    run.spec(
        1,
        train(Hyperparameters {
            batch_size: 1 << 20,
            buffer_tokens: None,
            ..hyperparameters()
        }),
    );
    // 16 GiB of address space, where the latents of such a batch alone take 128 GiB in bf16.
    let mut spec = run.read_spec();
    spec["work"]["hyperparameters"]["expansionFactor"] = 1_024.into();
    run.write_spec(&spec);
    let child = run.start_with_limit("v", 1, 16 << 20);
    assert_eq!(run.wait(child), Some(0), "{}", run.log());
    let Record::Failed(failure) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(failure.code, "out_of_memory", "{}", failure.message);
    assert_eq!(failure.class, FailureClass::Infrastructure);
}

#[test]
fn the_doctor_says_what_can_be_used() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_trainmaster-trainer"))
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["contract_version"], 1);
    assert!(
        found["libtorch_version"]
            .as_str()
            .unwrap()
            .starts_with("2.")
    );
    assert_eq!(found["devices"][0]["name"], "cpu");
    assert!(found["devices"][0]["bf16_gain"].as_f64().unwrap() > 0.0);
}
