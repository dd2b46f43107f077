//! The program, as the daemon starts it.

use crate::directory::{RunDirectory, dataset, model};
use crate::fixture::Fixture;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use sha2::{Digest, Sha256};
use std::path::Path;
use trainmaster_domain::hyperparameters::{Hook, HookSite};
use trainmaster_domain::id::TrainingId;
use trainmaster_domain::run::artifact::ROWS_PER_GROUP;
use trainmaster_domain::run::control::Request;
use trainmaster_domain::run::journal::{Artifact, FailureClass, FeaturesExtracted, Record};
use trainmaster_domain::run::spec::{Extract, Work};
use trainmaster_trainer::language_model::{HookPoint, Site};

const POINT: HookPoint = HookPoint {
    layer: 1,
    site: Site::Residual,
};

const SITES: [HookSite; 2] = [
    HookSite {
        layer: 0,
        hook: Hook::Mlp,
    },
    HookSite {
        layer: 1,
        hook: Hook::Residual,
    },
];

/// Writes the autoencoders of both sites as a training does.
fn random_autoencoders(fixture: &Fixture, directory: &Path, latents: i64) {
    for site in SITES {
        let point = HookPoint {
            layer: site.layer as usize,
            site: site.hook.into(),
        };
        fixture.random_autoencoder(&directory.join(site.name()), latents, point);
    }
}

fn spec(run: &RunDirectory, autoencoder: &Path) -> Extract {
    Extract {
        training_id: TrainingId::new("tr_test").unwrap(),
        model_path: model(),
        dataset_id: "ds_test".into(),
        tokenized_path: dataset(),
        autoencoder_path: autoencoder.to_string_lossy().into_owned(),
        autoencoder_sha256: run.hash(autoencoder),
        encoder_type: "sparse".into(),
        sites: SITES.to_vec(),
        wanted: vec![SITES[1]],
        max_samples: Some(300),
        top_k_examples: 12,
        context_tokens: 3,
        minimum_frequency: 0.0,
        embedder_path: None,
    }
}

fn extracted(run: &RunDirectory, spec: Extract) -> FeaturesExtracted {
    run.spec(1, Work::Extract(Box::new(spec)));
    assert_eq!(run.wait(run.start(1)), Some(0), "{}", run.log());
    match run.last(1) {
        Record::FeaturesExtracted(found) => *found,
        other => panic!("{other:?}"),
    }
}

fn rows(artifact: &Artifact) -> Vec<parquet::record::Row> {
    let bytes = std::fs::read(&artifact.path).unwrap();
    assert_eq!(format!("{:x}", Sha256::digest(&bytes)), artifact.sha256);
    assert_eq!(bytes.len() as i64, artifact.size_bytes);
    let reader = SerializedFileReader::new(std::fs::File::open(&artifact.path).unwrap()).unwrap();
    for group in reader.metadata().row_groups() {
        assert!(group.num_rows() as usize <= ROWS_PER_GROUP);
    }
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len() as i64, artifact.rows);
    rows
}

#[test]
fn features_and_their_examples_are_told_in_two_files() {
    let run = RunDirectory::new();
    let fixture = Fixture::new();
    let autoencoder = run.path().join("autoencoder");
    random_autoencoders(&fixture, &autoencoder, 900);
    let found = extracted(&run, spec(&run, &autoencoder));
    assert_eq!(found.samples, 300);
    let names: Vec<_> = run
        .journal()
        .into_iter()
        .filter_map(|line| match line.record {
            Record::Progress(progress) => Some(progress.stage),
            _ => None,
        })
        .collect();
    for stage in ["loading", "reading", "scoring", "writing"] {
        assert!(names.iter().any(|name| name == stage), "{stage}");
    }

    let features = rows(&found.features);
    assert!(features.len() > 800);
    let mut numbers = Vec::new();
    for row in &features {
        // The second of two sites with 900 latents each.
        numbers.push(row.get_int(0).unwrap());
        assert_eq!(row.get_int(1).unwrap(), 1);
        assert_eq!(row.get_string(2).unwrap(), "residual");
        let frequency = row.get_double(3).unwrap();
        assert!(frequency > 0.0 && frequency < 0.5, "{frequency}");
        assert!(row.get_double(4).unwrap() > 0.0);
        let name = row.get_string(5).unwrap();
        assert!(
            name.starts_with("fires on \"") && name.contains("; promotes \""),
            "{name}"
        );
        assert!(name.chars().count() <= 500);
        assert!(row.get_string(6).unwrap().starts_with("Fires on "));
        let score = row.get_double(7).unwrap();
        assert!((0.0..=1.0).contains(&score));
        let components: serde_json::Value =
            serde_json::from_str(row.get_string(8).unwrap()).unwrap();
        for component in &found.scoring.components {
            let value = components[component].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&value), "{component} {value}");
        }
    }
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(numbers[0] >= 900 && numbers[numbers.len() - 1] < 1800);

    let examples = rows(&found.activations);
    // More than one row group.
    assert!(examples.len() > ROWS_PER_GROUP, "{}", examples.len());
    let mut before = (0, f64::INFINITY);
    for row in &examples {
        let number = row.get_int(0).unwrap();
        let sample = row.get_int(2).unwrap();
        assert_eq!(*row.get_string(1).unwrap(), format!("ds_test/{sample}"));
        let tokens: Vec<String> = serde_json::from_str(row.get_string(3).unwrap()).unwrap();
        let activations: Vec<f64> = serde_json::from_str(row.get_string(4).unwrap()).unwrap();
        assert_eq!(tokens.len(), activations.len());
        assert!(tokens.len() <= 7);
        let strongest = row.get_double(5).unwrap();
        assert_eq!(activations.iter().copied().fold(0.0, f64::max), strongest);
        let middle = activations
            .iter()
            .position(|value| *value == strongest)
            .unwrap();
        assert_eq!(tokens[..middle].concat(), *row.get_string(6).unwrap());
        assert_eq!(tokens[middle + 1..].concat(), *row.get_string(7).unwrap());
        assert!(number > before.0 || (number == before.0 && strongest <= before.1));
        before = (number, strongest);
    }
    // 300 sequences from all over the dataset, not its first 300.
    let all = fixture.dataset.num_sequences() as i32;
    let last = examples.iter().map(|row| row.get_int(2).unwrap()).max();
    assert!(all > 320 && last > Some(all * 9 / 10), "{last:?} of {all}");
    // Of each feature the strongest example is its maximum.
    let first = examples
        .iter()
        .find(|row| row.get_int(0).unwrap() == numbers[0])
        .unwrap();
    assert_eq!(
        first.get_double(5).unwrap(),
        features[0].get_double(4).unwrap()
    );
}

#[test]
fn latents_of_all_sites_are_counted_through_in_order() {
    let fixture = Fixture::new();
    let directory = tempfile::tempdir().unwrap();
    random_autoencoders(&fixture, directory.path(), 30);
    let found = |wanted: &[HookSite]| {
        let run = RunDirectory::new();
        let found = extracted(
            &run,
            Extract {
                wanted: wanted.to_vec(),
                ..spec(&run, directory.path())
            },
        );
        let features = rows(&found.features).into_iter().map(|row| {
            let hook = row.get_string(2).unwrap().clone();
            (
                row.get_int(0).unwrap(),
                hook,
                row.get_double(3).unwrap().to_bits(),
            )
        });
        let examples = rows(&found.activations)
            .into_iter()
            .map(|row| row.get_int(0).unwrap());
        (features.collect::<Vec<_>>(), examples.collect::<Vec<_>>())
    };
    // Whatever the order in which they are wanted.
    let (features, examples) = found(&[SITES[1], SITES[0]]);
    assert!(
        features
            .iter()
            .all(|(number, hook, _)| (hook == "mlp") == (*number < 30))
    );
    assert!(features.is_sorted_by_key(|(number, ..)| *number));
    assert!(examples.is_sorted());
    assert!(features[0].0 < 30 && features[features.len() - 1].0 >= 30);
    let (alone, _) = found(&SITES[..1]);
    assert_eq!(alone, features[..alone.len()]);
}

#[test]
fn rare_latents_are_no_features_and_the_same_input_gives_the_same_files() {
    let fixture = Fixture::new();
    let directory = tempfile::tempdir().unwrap();
    random_autoencoders(&fixture, directory.path(), 60);
    let least = 0.05;
    let once = || {
        let run = RunDirectory::new();
        let found = extracted(
            &run,
            Extract {
                minimum_frequency: least,
                ..spec(&run, directory.path())
            },
        );
        let features = rows(&found.features);
        let frequencies: Vec<f64> = features
            .iter()
            .map(|row| row.get_double(3).unwrap())
            .collect();
        (found.features.sha256, found.activations.sha256, frequencies)
    };
    let first = once();
    assert!(
        !first.2.is_empty() && first.2.len() < 60,
        "{}",
        first.2.len()
    );
    assert!(first.2.iter().all(|frequency| *frequency >= least));
    assert_eq!(first, once());
}

#[test]
fn features_with_a_meaning_score_higher_than_features_with_examples_of_others() {
    let run = RunDirectory::new();
    let fixture = Fixture::new();
    let autoencoder = run.path().join("autoencoder");
    let tokens = fixture.token_detectors(&autoencoder, HookPoint { layer: 0, ..POINT });
    let found = extracted(
        &run,
        Extract {
            sites: vec![HookSite {
                layer: 0,
                hook: Hook::Residual,
            }],
            wanted: vec![HookSite {
                layer: 0,
                hook: Hook::Residual,
            }],
            max_samples: None,
            top_k_examples: 32,
            context_tokens: 2,
            ..spec(&run, &autoencoder)
        },
    );
    let features = rows(&found.features);
    assert_eq!(features.len(), tokens.len());
    let scores: Vec<f64> = features
        .iter()
        .map(|row| row.get_double(7).unwrap())
        .collect();
    let raw: Vec<f64> = features
        .iter()
        .map(|row| {
            let components: serde_json::Value =
                serde_json::from_str(row.get_string(8).unwrap()).unwrap();
            components["raw"].as_f64().unwrap()
        })
        .collect();
    let above = raw
        .iter()
        .filter(|raw| **raw > found.scoring.permuted_p95)
        .count();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    assert!(
        above * 10 >= raw.len() * 8 && mean > 0.4,
        "{above} of {} above {:?}, mean score {mean}: {scores:?}",
        raw.len(),
        found.scoring
    );
    assert!(found.scoring.permuted_mean < 0.4, "{:?}", found.scoring);
}

#[test]
fn a_cancelled_extraction_says_so_and_leaves_nothing() {
    let run = RunDirectory::new();
    let fixture = Fixture::new();
    let autoencoder = run.path().join("autoencoder");
    random_autoencoders(&fixture, &autoencoder, 50);
    run.control(1, Request::Stop);
    run.spec(1, Work::Extract(Box::new(spec(&run, &autoencoder))));
    assert_eq!(run.wait(run.start(1)), Some(0));
    assert_eq!(run.last(1), Record::Cancelled {});
    // Asked to pause, it leaves; the next attempt does the whole.
    run.control(2, Request::Pause);
    run.spec(2, Work::Extract(Box::new(spec(&run, &autoencoder))));
    assert_eq!(run.wait(run.start(2)), Some(0));
    match run.last(2) {
        Record::Failed(failure) => assert_eq!(failure.class, FailureClass::Infrastructure),
        other => panic!("{other:?}"),
    }
    let names: Vec<String> = std::fs::read_dir(run.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains("result"))
        .collect();
    assert!(names.is_empty(), "{names:?}");
    run.spec(3, Work::Extract(Box::new(spec(&run, &autoencoder))));
    assert_eq!(run.wait(run.start(3)), Some(0));
    assert!(
        matches!(run.last(3), Record::FeaturesExtracted(_)),
        "{}",
        run.log()
    );
}

#[test]
fn an_altered_autoencoder_and_too_little_memory_are_refused_with_a_word() {
    let run = RunDirectory::new();
    let fixture = Fixture::new();
    let autoencoder = run.path().join("autoencoder");
    random_autoencoders(&fixture, &autoencoder, 50);
    let fails = |lease: u64, code: &str, words: &str| {
        assert_eq!(run.wait(run.start(lease)), Some(0));
        match run.last(lease) {
            Record::Failed(failure) => {
                assert_eq!(failure.code, code, "{}", failure.message);
                assert!(failure.message.contains(words), "{}", failure.message);
            }
            other => panic!("{other:?}"),
        }
    };
    run.spec(
        1,
        Work::Extract(Box::new(Extract {
            autoencoder_sha256: "0".repeat(64),
            ..spec(&run, &autoencoder)
        })),
    );
    fails(1, "file_altered", "put it back");
    run.spec(2, Work::Extract(Box::new(spec(&run, &autoencoder))));
    let mut limited = run.read_spec();
    limited["resources"]["memory_limit_bytes"] = 1_000.into();
    run.write_spec(&limited);
    fails(2, "unsupported", "lower top_k_examples");
}
