//! A golden file of each version of each event, and of each shape that optional fields give it: `<type>.v<version>[.<shape>].json`. They are
//! only ever added to: an old one must be readable for ever, and the JSON that is written today must be the newest one's.
//! `TRAINMASTER_ADD_GOLDEN=1` writes the files that are missing; `ops/check-golden` sees to it that none is altered or removed.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/recorder.rs"]
mod recorder;
#[path = "samples/events.rs"]
mod sample_events;

use recorder::Seen;
use sample_events::{category, every_event, shapes::every_shape};
use serde_json::{Value, json};
use std::{cell::RefCell, collections::BTreeSet, io::Write, path::PathBuf};
use trainmaster_domain::{
    Category, Event,
    cross_validation::CrossValidationEvent,
    dataset::DatasetEvent,
    extraction_template::ExtractionTemplateEvent,
    feature::FeatureEvent,
    hub::HubRepository,
    job::{Extraction, Generation, JobEvent, Prediction},
    model::ModelEvent,
    preset::PresetEvent,
    slurm::SlurmJobEvent,
    training::TrainingEvent,
    training_template::TrainingTemplateEvent,
};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn adds() -> bool {
    std::env::var_os("TRAINMASTER_ADD_GOLDEN").is_some()
}

/// Each sample, and the name of its golden file.
fn samples() -> Vec<(String, Event)> {
    let name = |event: &Event| format!("{}.v{}", event.event_type(), event.schema_version());
    let first = every_event()
        .into_iter()
        .map(|event| (format!("{}.json", name(&event)), event));
    let further = every_shape()
        .into_iter()
        .map(|(shape, event)| (format!("{}.{shape}.json", name(&event)), event));
    first.chain(further).collect()
}

struct Golden {
    name: String,
    event_type: String,
    version: u16,
    payload: Value,
}

fn golden_files() -> Vec<Golden> {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let (event_type, version) = name
                .strip_suffix(".json")
                .and_then(|stem| stem.split_once(".v"))
                .expect("<type>.v<version>[.<shape>].json");
            Golden {
                event_type: event_type.to_owned(),
                version: version.split('.').next().unwrap().parse().unwrap(),
                payload: serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap(),
                name,
            }
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

fn category_of(event_type: &str) -> Category {
    let samples = every_event();
    let sample = samples
        .iter()
        .find(|event| event.event_type() == event_type);
    category(sample.unwrap_or_else(|| panic!("no sample of {event_type}")))
}

#[test]
fn what_is_written_today_is_what_the_golden_file_says() {
    for (name, event) in samples() {
        let path = folder().join(&name);
        let written = serde_json::to_string_pretty(&event.payload().unwrap()).unwrap() + "\n";
        if !path.exists() && adds() {
            std::fs::write(&path, &written).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{name}: {error}; run again with TRAINMASTER_ADD_GOLDEN=1 to add it")
        });
        assert_eq!(
            written, golden,
            "the JSON of {name} has changed: raise its schema version, add an upcasting step, and add a golden file"
        );
    }
}

#[test]
fn every_golden_file_is_still_read_as_the_event_that_it_was() {
    let samples = samples();
    for golden in golden_files() {
        let event = Event::from_stored(
            category_of(&golden.event_type),
            &golden.event_type,
            golden.version,
            golden.payload,
        )
        .unwrap_or_else(|error| panic!("{}: {error}: {error:?}", golden.name));
        assert_eq!(event.event_type(), golden.event_type);
        if let Some((_, sample)) = samples.iter().find(|(name, _)| *name == golden.name) {
            assert_eq!(&event, sample);
        } else {
            assert!(
                golden.version < event.schema_version(),
                "{}: no sample",
                golden.name
            );
            // Of an older version: it is written as the newest, and read as the same.
            let again = Event::from_stored(
                category_of(&golden.event_type),
                &golden.event_type,
                event.schema_version(),
                event.payload().unwrap(),
            );
            assert_eq!(again.unwrap(), event);
        }
    }
}

#[test]
fn every_version_of_every_event_type_has_a_golden_file() {
    let found: BTreeSet<(String, u16)> = golden_files()
        .into_iter()
        .map(|golden| (golden.event_type, golden.version))
        .collect();
    for category in Category::ALL {
        // What serde would have accepted.
        let error = Event::from_stored(category, "?", 1, json!({})).unwrap_err();
        let expected = std::error::Error::source(&error).unwrap().to_string();
        let types: Vec<&str> = expected.split('`').skip(3).step_by(2).collect();
        assert!(types.len() >= 2, "{expected}");
        for event_type in types {
            let newest = every_event()
                .iter()
                .find(|event| event.event_type() == event_type)
                .unwrap_or_else(|| panic!("no sample of {event_type}"))
                .schema_version();
            for version in 1..=newest {
                assert!(
                    found.contains(&(event_type.to_owned(), version)),
                    "no golden file of {event_type} v{version}"
                );
            }
        }
    }
}

/// Reads every golden file of a newest version, noting what its types have.
fn seen() -> Seen {
    let seen = RefCell::new(Seen::default());
    let newest = samples();
    for golden in golden_files() {
        if !newest.iter().any(|(name, _)| *name == golden.name) {
            continue;
        }
        // Tagged and flattened parts, which serde reads by way of a buffer.
        if let Some(work) = golden.payload.get("work") {
            let read = match work["kind"].as_str() {
                Some("extraction") => recorder::read::<Extraction>(work.clone(), &seen).map(drop),
                Some("prediction") => recorder::read::<Prediction>(work.clone(), &seen).map(drop),
                _ => recorder::read::<Generation>(work.clone(), &seen).map(drop),
            };
            read.unwrap();
        }
        if let Some(hub) = golden.payload.get("hub") {
            recorder::read::<HubRepository>(hub.clone(), &seen).unwrap();
        }
        let tagged = json!({ "type": golden.event_type, "payload": golden.payload });
        match category_of(&golden.event_type) {
            Category::Dataset => recorder::read::<DatasetEvent>(tagged, &seen).map(drop),
            Category::Model => recorder::read::<ModelEvent>(tagged, &seen).map(drop),
            Category::Training => recorder::read::<TrainingEvent>(tagged, &seen).map(drop),
            Category::Job => recorder::read::<JobEvent>(tagged, &seen).map(drop),
            Category::Feature => recorder::read::<FeatureEvent>(tagged, &seen).map(drop),
            Category::TrainingTemplate => {
                recorder::read::<TrainingTemplateEvent>(tagged, &seen).map(drop)
            }
            Category::ExtractionTemplate => {
                recorder::read::<ExtractionTemplateEvent>(tagged, &seen).map(drop)
            }
            Category::Preset => recorder::read::<PresetEvent>(tagged, &seen).map(drop),
            Category::SlurmJob => recorder::read::<SlurmJobEvent>(tagged, &seen).map(drop),
            Category::CrossValidation => {
                recorder::read::<CrossValidationEvent>(tagged, &seen).map(drop)
            }
        }
        .unwrap_or_else(|error| panic!("{}: {error}", golden.name));
    }
    seen.into_inner()
}

#[test]
fn every_optional_field_is_in_some_golden_file() {
    let seen = seen();
    assert!(seen.fields.len() > 100);
    let absent: Vec<_> = seen
        .fields
        .iter()
        .filter(|(_, has)| !**has)
        .map(|(field, _)| field)
        .collect();
    assert!(
        absent.is_empty(),
        "no golden file has {absent:?}: add a sample to tests/samples/shapes.rs, and its golden file"
    );
}

#[test]
fn every_variant_that_an_event_can_name_stays() {
    let path = folder().join("variants.txt");
    let known: BTreeSet<String> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let today = seen().variants;
    let gone: Vec<_> = known.difference(&today).collect();
    assert!(
        gone.is_empty(),
        "stored events name {gone:?}, which is read no more: raise the schema version and add an upcasting step"
    );
    let new: Vec<_> = today.difference(&known).collect();
    if !new.is_empty() && adds() {
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap();
        for line in &new {
            writeln!(file, "{line}").unwrap();
        }
        return;
    }
    assert!(
        new.is_empty(),
        "run again with TRAINMASTER_ADD_GOLDEN=1 to add {new:?} to variants.txt"
    );
}

#[test]
fn an_event_of_a_newer_schema_is_refused_by_name() {
    let error = Event::from_stored(Category::Training, "TrainingResumed", 99, Value::Null)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("TrainingResumed") && error.contains("99") && error.contains("newer"),
        "{error}"
    );
}

#[test]
fn an_event_in_a_stream_of_another_category_is_refused() {
    assert!(Event::from_stored(Category::Dataset, "TrainingResumed", 1, json!({})).is_err());
}
