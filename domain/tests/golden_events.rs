//! A golden file of each version of each event. They are only ever added to: an old one must be readable for ever, and the
//! JSON that is written today must be the newest one's. `TRAINMASTER_ADD_GOLDEN=1` writes the files that are missing.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "samples/events.rs"]
mod sample_events;

use sample_events::{category, every_event};
use std::{collections::BTreeSet, path::PathBuf};
use trainmaster_domain::{Category, Event};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

#[test]
fn what_is_written_today_is_what_the_golden_file_says() {
    for event in every_event() {
        let name = format!("{}.v{}.json", event.event_type(), event.schema_version());
        let path = folder().join(&name);
        let written = serde_json::to_string_pretty(&event.payload().unwrap()).unwrap() + "\n";
        if !path.exists() && std::env::var_os("TRAINMASTER_ADD_GOLDEN").is_some() {
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
    let samples = every_event();
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (event_type, version) = name
            .strip_suffix(".json")
            .and_then(|stem| stem.split_once(".v"))
            .expect("<type>.v<version>.json");
        let sample = samples
            .iter()
            .find(|event| event.event_type() == event_type)
            .expect("a known event");
        let payload = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let event = Event::from_stored(
            category(sample),
            event_type,
            version.parse().unwrap(),
            payload,
        )
        .unwrap();
        assert_eq!(event.event_type(), event_type);
        if version.parse::<u16>().unwrap() == sample.schema_version() {
            assert_eq!(&event, sample);
        }
        seen.insert(event_type.to_owned());
    }
    let all: BTreeSet<_> = samples
        .iter()
        .map(|event| event.event_type().to_owned())
        .collect();
    assert_eq!(seen, all);
}

#[test]
fn an_event_of_a_newer_schema_is_refused_by_name() {
    let error = Event::from_stored(
        Category::Training,
        "TrainingResumed",
        99,
        serde_json::Value::Null,
    )
    .unwrap_err()
    .to_string();
    assert!(
        error.contains("TrainingResumed") && error.contains("99") && error.contains("newer"),
        "{error}"
    );
}

#[test]
fn an_event_in_a_stream_of_another_category_is_refused() {
    let payload = serde_json::json!({});
    assert!(Event::from_stored(Category::Dataset, "TrainingResumed", 1, payload).is_err());
}
