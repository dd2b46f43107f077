//! What must be true of every stream, whatever happened.

use super::ledger::Ledger;
use serde_json::Value;
use sqlx::{PgPool, Row as _};
use std::collections::{BTreeMap, BTreeSet};

/// An event, as far as it matters here.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    pub(super) category: String,
    pub(super) stream: String,
    pub(super) version: i64,
    pub(super) event_type: String,
    pub(super) position: (i64, i64),
    pub(super) command: String,
    pub(super) correlation: String,
    pub(super) actor: String,
    pub(super) payload: Value,
}

/// All events of the streams that have something new since a position, in their order.
pub(super) async fn touched_since(
    pool: &PgPool,
    position: (i64, i64),
) -> Result<Vec<Recorded>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT category, stream_id, version, type, transaction_id, sequence, command_id, correlation_id, actor, payload
           FROM log.events
          WHERE (category, stream_id) IN (SELECT category, stream_id FROM log.events WHERE (transaction_id, sequence) > ($1, $2))
          ORDER BY category, stream_id, version",
    )
    .bind(position.0)
    .bind(position.1)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Recorded {
                category: row.try_get(0)?,
                stream: row.try_get(1)?,
                version: row.try_get(2)?,
                event_type: row.try_get(3)?,
                position: (row.try_get(4)?, row.try_get(5)?),
                command: row.try_get(6)?,
                correlation: row.try_get(7)?,
                actor: row.try_get(8)?,
                payload: row.try_get(9)?,
            })
        })
        .collect()
}

/// Ends of an attempt.
fn ends_attempt(event_type: &str) -> bool {
    const ENDS: [&str; 8] = [
        "Completed",
        "Stopped",
        "Failed",
        "Errored",
        "Paused",
        "Cancelled",
        "LeaseExpired",
        "Ingested",
    ];
    ENDS.iter().any(|end| event_type.ends_with(end)) && event_type != "DatasetIngested"
}

/// Ends of a run for good: but for what is let go later, nothing comes after it.
fn is_terminal(event_type: &str) -> bool {
    matches!(
        event_type,
        "TrainingCompleted" | "TrainingStopped" | "JobCompleted" | "JobCancelled"
    )
}

fn may_follow_the_end(event_type: &str) -> bool {
    event_type.ends_with("Pruned") || event_type == "TrainingDeleted"
}

/// Holds each stream against what is promised.
pub(super) fn check(events: &[Recorded], ledger: &Ledger) {
    let mut streams: BTreeMap<(&str, &str), Vec<&Recorded>> = BTreeMap::new();
    for event in events {
        let stream = streams.entry((&event.category, &event.stream)).or_default();
        stream.push(event);
    }
    for ((category, id), events) in streams {
        let fault = |what: &'static str, why: String| {
            let history: Vec<String> = events
                .iter()
                .map(|e| {
                    format!(
                        "{} {} {}",
                        e.version,
                        e.event_type,
                        e.payload.get("lease").unwrap_or(&Value::Null)
                    )
                })
                .collect();
            ledger.violation(what, format!("{category} {id}: {why}; {history:?}"));
        };
        let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
        if versions != (1..=events.len() as i64).collect::<Vec<_>>() {
            fault("versions are contiguous", format!("{versions:?}"));
        }
        check_leases(&events, &fault);
        let end = events
            .iter()
            .position(|event| is_terminal(&event.event_type));
        if let Some(end) = end {
            for event in &events[end + 1..] {
                if !may_follow_the_end(&event.event_type) {
                    fault("a run has one end", event.event_type.clone());
                }
            }
        }
    }
}

fn check_leases(events: &[&Recorded], fault: &dyn Fn(&'static str, String)) {
    let (mut lease, mut is_over) = (0, true);
    let mut heard = BTreeSet::new();
    let mut before = "";
    for event in events {
        let after_a_loss =
            std::mem::replace(&mut before, &event.event_type).ends_with("LeaseExpired");
        let Some(said) = event.payload.get("lease").and_then(Value::as_u64) else {
            continue;
        };
        if event.event_type.ends_with("Claimed") {
            if said <= lease || !is_over {
                fault(
                    "leases only grow, one at a time",
                    format!("{said} after {lease}"),
                );
            }
            (lease, is_over) = (said, false);
            continue;
        }
        // Ended without ever having been claimed: under no lease.
        if said == 0 && lease == 0 {
            continue;
        }
        if said != lease {
            fault(
                "nothing happens under a stale lease",
                format!("{} of {said} under {lease}", event.event_type),
            );
        }
        // What rests or waits is ended by a command: no line of any journal says so.
        let by_command = event.payload.get("seq").and_then(Value::as_u64) == Some(0)
            && ["Stopped", "Cancelled"]
                .iter()
                .any(|end| event.event_type.ends_with(end));
        // With its last attempt lost, a run is given up.
        let given_up = after_a_loss
            && ["Errored", "Failed"]
                .iter()
                .any(|end| event.event_type.ends_with(end));
        if is_over && !by_command && !given_up && !event.event_type.ends_with("Pruned") {
            fault(
                "an attempt ends once",
                format!("{} after its end", event.event_type),
            );
        }
        is_over |= ends_attempt(&event.event_type);
        let line = event.payload.get("seq").and_then(Value::as_u64);
        if let Some(line) = line.filter(|line| *line > 0)
            && !heard.insert((said, line, event.event_type.clone()))
        {
            fault(
                "a report is heard once",
                format!("line {line} of lease {said}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(history: &[(&str, u64, u64)]) -> Vec<&'static str> {
        let events: Vec<Recorded> = history
            .iter()
            .zip(1..)
            .map(|((event_type, lease, seq), version)| Recorded {
                category: "training".to_owned(),
                stream: "tr_1".to_owned(),
                version,
                event_type: (*event_type).to_owned(),
                position: (version, version),
                command: version.to_string(),
                correlation: String::new(),
                actor: "supervisor".to_owned(),
                payload: match lease {
                    0 => json!({}),
                    lease => json!({ "lease": lease, "seq": seq }),
                },
            })
            .collect();
        let ledger = Ledger::new();
        check(&events, &ledger);
        ledger.violations().iter().map(|v| v.what).collect()
    }

    #[test]
    fn a_life_with_a_loss_and_a_pause_is_legal() {
        let life = [
            ("TrainingQueued", 0, 0),
            ("TrainingClaimed", 1, 0),
            ("TrainingStarted", 1, 1),
            ("TrainingLeaseExpired", 1, 0),
            ("TrainingRetried", 0, 0),
            ("TrainingClaimed", 2, 0),
            ("TrainingStarted", 2, 1),
            ("TrainingPaused", 2, 2),
            ("TrainingResumed", 0, 0),
            ("TrainingClaimed", 3, 0),
            ("TrainingCompleted", 3, 1),
            ("CheckpointPruned", 0, 0),
            ("TrainingDeleted", 0, 0),
        ];
        assert_eq!(found(&life), [""; 0]);
    }

    #[test]
    fn what_waits_after_a_loss_may_be_stopped_or_given_up() {
        let life = [
            ("TrainingQueued", 0, 0),
            ("TrainingClaimed", 1, 0),
            ("TrainingLeaseExpired", 1, 0),
            ("TrainingRetried", 0, 0),
            ("TrainingStopped", 1, 0),
        ];
        assert_eq!(found(&life), [""; 0]);
        let given_up = [&life[..3], &[("TrainingErrored", 1, 0)]].concat();
        assert_eq!(found(&given_up), [""; 0]);
    }

    #[test]
    fn each_broken_promise_is_found() {
        let begun = [("TrainingQueued", 0, 0), ("TrainingClaimed", 2, 0)];
        let is_found = |then: &[(&str, u64, u64)], what| {
            let found = found(&[&begun[..], then].concat());
            assert!(found.contains(&what), "{what}: {found:?}");
        };
        is_found(
            &[("TrainingStarted", 1, 1)],
            "nothing happens under a stale lease",
        );
        is_found(
            &[("TrainingClaimed", 3, 0)],
            "leases only grow, one at a time",
        );
        is_found(
            &[("TrainingPaused", 2, 1), ("MetricsRecorded", 2, 2)],
            "an attempt ends once",
        );
        is_found(
            &[("TrainingCompleted", 2, 1), ("TrainingRetried", 0, 0)],
            "a run has one end",
        );
        is_found(
            &[("MetricsRecorded", 2, 1), ("MetricsRecorded", 2, 1)],
            "a report is heard once",
        );
    }

    #[test]
    fn a_gap_in_the_versions_is_found() {
        let ledger = Ledger::new();
        let event = Recorded {
            category: "model".to_owned(),
            stream: "m_1".to_owned(),
            version: 2,
            event_type: "ModelRegistered".to_owned(),
            position: (1, 1),
            command: String::new(),
            correlation: String::new(),
            actor: String::new(),
            payload: json!({}),
        };
        check(&[event], &ledger);
        assert_eq!(ledger.violations().len(), 1);
    }
}
