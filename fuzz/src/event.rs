//! Stored events: `<category> <type> <schema version> <payload>` on each line, folded as a stream is.

use std::str::FromStr;
use trainmaster_domain::{
    Aggregate, Category, Event, dataset::Dataset, extraction_template::KeptExtractionTemplate,
    feature::Feature, job::Job, model::Model, preset::KeptPreset, training::Training,
    training_template::KeptTrainingTemplate,
};

/// Reads every line. What can be read says the same when it is written and read again, and an aggregate takes it or refuses it.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let events: Vec<Event> = text.lines().filter_map(read).collect();
    fold::<Dataset>(&events);
    fold::<Model>(&events);
    fold::<Training>(&events);
    fold::<Job>(&events);
    fold::<Feature>(&events);
    fold::<KeptTrainingTemplate>(&events);
    fold::<KeptExtractionTemplate>(&events);
    fold::<KeptPreset>(&events);
}

fn read(line: &str) -> Option<Event> {
    let mut words = line.splitn(4, ' ');
    let category = Category::from_str(words.next()?).ok()?;
    let event_type = words.next()?;
    let version = words.next()?.parse().ok()?;
    let payload = serde_json::from_str(words.next()?).ok()?;
    let event = Event::from_stored(category, event_type, version, payload).ok()?;
    assert_eq!(event.event_type(), event_type);
    let _ = event.task();
    let written = event.payload().expect("an event can be written");
    let again = Event::from_stored(category, event_type, event.schema_version(), written)
        .expect("what was written can be read");
    assert_eq!(again, event);
    Some(event)
}

fn fold<A: Aggregate>(events: &[Event]) {
    let mut state = A::default();
    for event in events {
        if let Ok(event) = A::Event::try_from(event.clone()) {
            let _ = state.evolve(&event);
        }
    }
    let _ = state.is_deleted();
}
