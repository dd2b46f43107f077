//! Several places trained from one pass over the language model, and transcoders, by the real program.

#![allow(clippy::unwrap_used)]

#[path = "run/directory.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod directory;

use directory::{RunDirectory, hyperparameters, train};
use std::path::{Path, PathBuf};
use trainmaster_domain::hyperparameters::{Hook, HookSite, Hyperparameters};
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{FailureClass, MetricsBatch, Record};
use trainmaster_domain::run::spec::{Train, Work};

const PLACES: [HookSite; 3] = [
    HookSite {
        layer: 0,
        hook: Hook::Attention,
    },
    HookSite {
        layer: 1,
        hook: Hook::Residual,
    },
    HookSite {
        layer: 2,
        hook: Hook::Mlp,
    },
];

fn short() -> Hyperparameters {
    Hyperparameters {
        training_steps: 40,
        log_interval: 5,
        checkpoint_interval: 15,
        layer: None,
        evaluation_tokens: Some(64),
        ..hyperparameters()
    }
}

fn work(encoder_type: &str, hyperparameters: Hyperparameters) -> Box<Train> {
    let Work::Train(mut work) = train(hyperparameters) else {
        unreachable!()
    };
    work.encoder_type = encoder_type.into();
    work
}

/// Trains to the end: the run and its result's directory.
fn trained(work: Box<Train>) -> (RunDirectory, PathBuf) {
    let run = RunDirectory::new();
    run.spec(1, Work::Train(work));
    assert_eq!(run.wait(run.start(1)), Some(0));
    let Record::Completed(finished) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(run.hash(Path::new(&finished.path)), finished.sha256);
    (run, finished.path.into())
}

fn metrics(run: &RunDirectory) -> MetricsBatch {
    let mut all = MetricsBatch::default();
    for line in run.journal() {
        if let Record::Metrics(batch) = line.record {
            all.steps.extend(batch.steps);
            all.loss.extend(batch.loss);
            all.dead_neurons.extend(batch.dead_neurons);
        }
    }
    all
}

fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn each_place_of_a_training_becomes_what_a_training_of_its_own_makes_of_it() {
    let h = Hyperparameters {
        // Latents that did not fire for a moment are dead, so that there are some to count.
        dead_window_steps: 1,
        top_k: Some(4),
        ..short()
    };
    let (together, result) = trained(work(
        "sparse",
        Hyperparameters {
            hooks: Some(PLACES.into()),
            ..h.clone()
        },
    ));
    let joint = metrics(&together);
    let mut means = vec![0.0; joint.steps.len()];
    let mut dead = vec![0; joint.steps.len()];
    for place in PLACES {
        let (alone, own) = trained(work(
            "sparse",
            Hyperparameters {
                layer: Some(place.layer),
                hook: place.hook,
                ..h.clone()
            },
        ));
        assert_eq!(
            files(&own),
            files(&result.join(place.name())),
            "{}",
            place.name()
        );
        let own = metrics(&alone);
        assert_eq!(own.steps, joint.steps);
        for (at, loss) in own.loss.iter().enumerate() {
            means[at] += loss / PLACES.len() as f64;
            dead[at] += own.dead_neurons[at];
        }
    }
    for (mean, loss) in means.iter().zip(&joint.loss) {
        assert!((mean - loss).abs() < 1e-9 * loss, "{mean} {loss}");
    }
    assert_eq!(dead, joint.dead_neurons);
    assert!(dead.iter().any(|dead| *dead > 0));
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(result.join("index.json")).unwrap()).unwrap();
    let listed: Vec<_> = index["autoencoders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["directory"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        listed,
        [
            "blocks.0.hook_attn_out",
            "blocks.1.hook_resid_post",
            "blocks.2.hook_mlp_out"
        ]
    );
}

#[test]
fn kills_and_a_pause_leave_the_weights_of_a_training_in_one_go() {
    let mlps = PLACES.map(|place| HookSite {
        hook: Hook::Mlp,
        ..place
    });
    for (encoder_type, hooks, hook) in [
        ("sparse", Some(PLACES.to_vec()), Hook::Residual),
        ("transcoder", Some(mlps[..2].to_vec()), Hook::Residual),
        ("skip", None, Hook::Mlp),
    ] {
        let h = Hyperparameters {
            training_steps: 150,
            checkpoint_interval: 20,
            hooks,
            hook,
            ..short()
        };
        let (_whole, expected) = trained(work(encoder_type, h.clone()));
        let broken = RunDirectory::new();
        for (lease, how) in [(1, "kill"), (2, "pause"), (3, "end")] {
            let mut work = work(encoder_type, h.clone());
            work.resume_from = broken.latest_checkpoint();
            let before = work.resume_from.as_ref().map_or(0, |from| from.step);
            broken.spec(lease, Work::Train(work));
            let mut child = broken.start(lease);
            if how != "end" {
                broken.until(&mut child, || {
                    broken
                        .latest_checkpoint()
                        .is_some_and(|now| now.step > before)
                });
            }
            match how {
                "kill" => {
                    child.kill().unwrap();
                    assert_eq!(broken.wait(child), None, "it was killed before it was done");
                }
                "pause" => {
                    broken.control(lease, Request::Pause);
                    assert_eq!(broken.wait(child), Some(0));
                    assert!(matches!(broken.last(lease), Record::Paused(_)));
                }
                _ => assert_eq!(broken.wait(child), Some(0)),
            }
        }
        let Record::Completed(finished) = broken.last(3) else {
            panic!("{:?}", broken.last(3));
        };
        assert_eq!(
            finished.sha256,
            broken.hash(&expected),
            "{encoder_type}: bit for bit the same result"
        );
    }
}

#[test]
fn transcoders_say_what_they_read_and_what_they_write() {
    for (encoder_type, architecture) in [("transcoder", "transcoder"), ("skip", "skip_transcoder")]
    {
        let (run, result) = trained(work(
            encoder_type,
            Hyperparameters {
                training_steps: 300,
                checkpoint_interval: 300,
                layer: Some(1),
                hook: Hook::Mlp,
                ..short()
            },
        ));
        let configuration: serde_json::Value =
            serde_json::from_slice(&std::fs::read(result.join("cfg.json")).unwrap()).unwrap();
        assert_eq!(configuration["architecture"], architecture);
        assert_eq!(configuration["apply_b_dec_to_input"], false);
        let metadata = &configuration["metadata"];
        for (name, value) in [
            ("hook_name", "blocks.1.mlp.hook_in"),
            ("hook_name_out", "blocks.1.hook_mlp_out"),
            ("hf_hook_name", "model.layers.1.mlp"),
            ("hf_hook_name_out", "model.layers.1.mlp"),
        ] {
            assert_eq!(metadata[name], value, "{name}");
        }
        let losses = metrics(&run).loss;
        assert!(
            losses.last().unwrap() < &(0.8 * losses[0]),
            "{encoder_type}: {losses:?}"
        );
    }
}

#[test]
fn a_transcoder_of_something_else_than_an_mlp_is_refused() {
    let run = RunDirectory::new();
    run.spec(1, Work::Train(work("transcoder", short())));
    assert_eq!(run.wait(run.start(1)), Some(0));
    let Record::Failed(failure) = run.last(1) else {
        panic!("{:?}", run.last(1));
    };
    assert_eq!(
        (failure.code.as_str(), failure.class),
        ("unsupported", FailureClass::Workload)
    );
    assert!(failure.message.contains("mlp"), "{}", failure.message);
}
