//! Lines of a run's journal, brought to the aggregate whose run it is. The first byte says which.

use chrono::DateTime;
use trainmaster_domain::{
    Aggregate, Category, Event,
    attempt::{Report, RetryPolicy},
    dataset::{Dataset, DatasetCommand},
    job::{Job, JobCommand},
    model::{Model, ModelCommand},
    run::journal::JournalRecord,
    training::{Training, TrainingCommand},
};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../../domain/tests/golden/", $name))
    };
}

/// Reports every line to a claimed run. What is decided can happen.
pub fn run(data: &[u8]) {
    let Some((which, lines)) = data.split_first() else {
        return;
    };
    let lines = lines
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok());
    match which % 4 {
        0 => report(
            begun::<Dataset>(
                Category::Dataset,
                &[
                    ("DatasetRegistered", golden!("DatasetRegistered.v1.json")),
                    ("DatasetDownloaded", golden!("DatasetDownloaded.v1.json")),
                    ("DatasetClaimed", golden!("DatasetClaimed.v1.json")),
                ],
            ),
            lines,
            DatasetCommand::Report,
        ),
        1 => report(
            begun::<Model>(
                Category::Model,
                &[
                    ("ModelRegistered", golden!("ModelRegistered.v2.json")),
                    ("ModelClaimed", golden!("ModelClaimed.v1.json")),
                ],
            ),
            lines,
            ModelCommand::Report,
        ),
        2 => report(
            begun::<Training>(
                Category::Training,
                &[
                    ("TrainingQueued", golden!("TrainingQueued.v1.json")),
                    ("TrainingClaimed", golden!("TrainingClaimed.v1.json")),
                ],
            ),
            lines,
            TrainingCommand::Report,
        ),
        _ => report(
            begun::<Job>(
                Category::Job,
                &[
                    ("JobQueued", golden!("JobQueued.v1.json")),
                    ("JobClaimed", golden!("JobClaimed.v1.json")),
                ],
            ),
            lines,
            JobCommand::Report,
        ),
    }
}

fn begun<A: Aggregate>(category: Category, events: &[(&str, &str)]) -> A {
    let mut state = A::default();
    for (event_type, payload) in events {
        let payload = serde_json::from_str(payload).expect("a golden file is JSON");
        let version = if *event_type == "ModelRegistered" {
            2
        } else {
            1
        };
        let event = Event::from_stored(category, event_type, version, payload)
            .expect("a golden file is read");
        let Ok(event) = A::Event::try_from(event) else {
            panic!("{event_type} is of another category");
        };
        state.evolve(&event).expect("the events follow each other");
    }
    state
}

fn report<A: Aggregate>(
    mut state: A,
    lines: impl Iterator<Item = JournalRecord>,
    command: impl Fn(Box<Report>) -> A::Command,
) {
    for line in lines {
        let written = serde_json::to_vec(&line).expect("a record can be written");
        let again: JournalRecord =
            serde_json::from_slice(&written).expect("what was written can be read");
        assert_eq!(again, line);
        let report = Report {
            line,
            now: DateTime::from_timestamp(1_700_000_000, 0).expect("a time"),
            policy: RetryPolicy::default(),
        };
        for event in state.decide(command(Box::new(report))).unwrap_or_default() {
            state.evolve(&event).expect("what is decided can happen");
        }
    }
}
