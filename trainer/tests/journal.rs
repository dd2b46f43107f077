//! The journal's file, whatever state it is found in.

#![allow(clippy::unwrap_used)]

use trainmaster_domain::Lease;
use trainmaster_domain::run::journal::{AtStep, JournalRecord, MAX_LINE_BYTES, Progress, Record};
use trainmaster_trainer::run::journal::Journal;

fn record(step: u64) -> Record {
    Record::Paused(AtStep { step })
}

fn lines(path: &std::path::Path) -> Vec<JournalRecord> {
    let text = std::fs::read(path).unwrap();
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

#[test]
fn numbers_begin_at_1_for_each_lease_and_go_on_within_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    for (lease, times) in [(1, 2), (2, 1), (2, 2), (1, 1)] {
        let mut journal = Journal::open(&path, Lease(lease)).unwrap();
        for step in 0..times {
            journal.append(record(step), step == 0).unwrap();
        }
    }
    let said: Vec<(u64, u64)> = lines(&path)
        .iter()
        .map(|line| (line.lease.0, line.seq))
        .collect();
    assert_eq!(said, [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (1, 3)]);
}

#[test]
fn a_torn_line_of_any_length_costs_only_itself() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    Journal::open(&path, Lease(1))
        .unwrap()
        .append(record(1), false)
        .unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in 1..whole.len() {
        let mut torn = whole.clone();
        torn.extend(&whole[..length]);
        std::fs::write(&path, torn).unwrap();
        let mut journal = Journal::open(&path, Lease(2)).unwrap();
        journal.append(record(2), false).unwrap();
        let said = lines(&path);
        let last = said.last().unwrap();
        assert_eq!((last.lease, last.seq), (Lease(2), 1));
        // All but the newline is a record too.
        let expected = if length + 1 == whole.len() { 3 } else { 2 };
        assert_eq!(said.len(), expected, "torn after {length} bytes");
    }
}

#[test]
fn a_record_longer_than_the_contract_allows_is_refused_and_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.jsonl");
    let mut journal = Journal::open(&path, Lease(1)).unwrap();
    let long = Record::Progress(Progress {
        stage: "x".repeat(MAX_LINE_BYTES),
        percent: 0.0,
    });
    journal.append(long, false).unwrap_err();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    journal.append(record(1), true).unwrap();
    assert_eq!(lines(&path)[0].seq, 1);
}
