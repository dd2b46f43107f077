//! Holding the log against what clients were told.

use super::{
    http::Answer,
    ledger::{Ledger, Request},
    streams::Recorded,
};
use std::collections::{BTreeMap, BTreeSet};

/// No accepted command is lost, none is applied twice, none that was refused is applied, and nothing happens that nobody asked for.
pub(super) fn check(requests: &[Request], events: &[Recorded], ledger: &Ledger) {
    let mut by_attempt: BTreeMap<&str, Vec<&Recorded>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.actor == "http") {
        let attempt = by_attempt.entry(&event.correlation).or_default();
        attempt.push(event);
    }
    for request in requests {
        let caused: Vec<&Recorded> = request
            .attempts
            .iter()
            .flat_map(|attempt| by_attempt.remove(&*attempt.id).unwrap_or_default())
            .collect();
        check_one(request, &caused, ledger);
    }
    // What is left was caused by attempts of other rounds, or by nobody.
    let own: BTreeSet<&str> = requests
        .iter()
        .flat_map(|request| &request.attempts)
        .filter_map(|attempt| attempt.id.rsplit_once('-'))
        .map(|(client, _)| client)
        .collect();
    for (attempt, events) in by_attempt {
        let client = attempt.rsplit_once('-').map_or("", |(client, _)| client);
        if own.contains(client) {
            ledger.violation(
                "nothing happens that nobody asked for",
                format!("{attempt}: {events:?}"),
            );
        }
    }
}

fn check_one(request: &Request, caused: &[&Recorded], ledger: &Ledger) {
    let fault =
        |what: &'static str| ledger.violation(what, format!("{request:?} caused {caused:?}"));
    let commands: BTreeSet<&str> = caused.iter().map(|event| &*event.command).collect();
    if commands.len() > 1 {
        fault("no command is applied twice");
    }
    let accepted: Vec<&Answer> = request.verdicts().filter(|a| a.is_accepted()).collect();
    let refused = request.verdicts().any(|answer| !answer.is_accepted());
    if refused && !accepted.is_empty() {
        // A refusal is not kept: what was refused may be allowed when it is asked for again. Not the other way round.
        let first_accepted = request.verdicts().position(Answer::is_accepted);
        let last_refused = request
            .verdicts()
            .collect::<Vec<_>>()
            .iter()
            .rposition(|answer| !answer.is_accepted());
        let at_once = request.attempts.len() > 1 && last_refused <= Some(1);
        if last_refused > first_accepted && !at_once {
            fault("what was accepted stays accepted");
        }
    }
    if refused && accepted.is_empty() && !caused.is_empty() {
        fault("what was refused is not applied");
    }
    let Some(first) = accepted.first() else {
        return;
    };
    for answer in &accepted {
        for field in ["id", "position", "events"] {
            if answer.body[field] != first.body[field] {
                fault("a repeated command gets its first answer");
            }
        }
    }
    let told: Vec<&str> = first.body["events"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|event_type| event_type.as_str())
        .collect();
    let happened: Vec<&str> = caused.iter().map(|event| &*event.event_type).collect();
    if told != happened {
        fault("an accepted command is in the log, as its answer says");
    }
    if let Some(last) = caused.last() {
        let position = format!("{}-{}", last.position.0, last.position.1);
        let is_told = first.body["position"].as_str() == Some(&*position);
        if !is_told || first.body["id"].as_str() != Some(&*last.stream) {
            fault("an accepted command is in the log, where its answer says");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        http::{Asked, Outcome},
        ledger::Attempt,
    };
    use super::*;
    use serde_json::json;

    fn event(correlation: &str, command: &str) -> Recorded {
        Recorded {
            category: "training".to_owned(),
            stream: "tr_1".to_owned(),
            version: 1,
            event_type: "TrainingQueued".to_owned(),
            position: (7, 3),
            command: command.to_owned(),
            correlation: correlation.to_owned(),
            actor: "http".to_owned(),
            payload: json!({}),
        }
    }

    fn answered(id: &str, status: u16, position: &str) -> Attempt {
        Attempt {
            id: id.to_owned(),
            outcome: Outcome::Answered(Answer {
                status,
                is_problem: status >= 400,
                body: json!({ "id": "tr_1", "events": ["TrainingQueued"], "position": position }),
            }),
        }
    }

    fn lost(id: &str) -> Attempt {
        Attempt {
            id: id.to_owned(),
            outcome: Outcome::Lost("cut".to_owned()),
        }
    }

    fn found(attempts: Vec<Attempt>, events: &[Recorded]) -> Vec<&'static str> {
        let ledger = Ledger::new();
        let request = Request {
            asked: Asked {
                method: "POST",
                path: "/v1/trainings".to_owned(),
                body: None,
            },
            key: Some("key".to_owned()),
            attempts,
        };
        check(&[request], events, &ledger);
        ledger.violations().iter().map(|v| v.what).collect()
    }

    #[test]
    fn what_is_as_it_was_told_is_no_violation() {
        let once = [event("s1c0-1", "a")];
        let none: [&str; 0] = [];
        assert_eq!(found(vec![answered("s1c0-1", 201, "7-3")], &once), none);
        let repeated = vec![lost("s1c0-1"), answered("s1c0-2", 201, "7-3")];
        assert_eq!(found(repeated, &once), none);
        assert_eq!(found(vec![answered("s1c0-1", 409, "")], &[]), none);
        assert_eq!(found(vec![lost("s1c0-1")], &[]), none);
    }

    #[test]
    fn what_is_lost_or_doubled_or_invented_is_found() {
        let is_found = |attempts, events: &[Recorded], what| {
            let found = found(attempts, events);
            assert!(found.contains(&what), "{what}: {found:?}");
        };
        let accepted = || vec![answered("s1c0-1", 201, "7-3")];
        is_found(
            accepted(),
            &[],
            "an accepted command is in the log, as its answer says",
        );
        is_found(
            vec![lost("s1c0-1"), answered("s1c0-2", 201, "7-3")],
            &[event("s1c0-1", "a"), event("s1c0-2", "b")],
            "no command is applied twice",
        );
        is_found(
            vec![answered("s1c0-1", 409, "")],
            &[event("s1c0-1", "a")],
            "what was refused is not applied",
        );
        is_found(
            vec![answered("s1c0-1", 201, "7-9")],
            &[event("s1c0-1", "a")],
            "an accepted command is in the log, where its answer says",
        );
        is_found(
            vec![
                answered("s1c0-1", 201, "7-3"),
                answered("s1c0-2", 201, "7-4"),
            ],
            &[event("s1c0-1", "a")],
            "a repeated command gets its first answer",
        );
        is_found(
            accepted(),
            &[event("s1c0-1", "a"), event("s1c0-9", "b")],
            "nothing happens that nobody asked for",
        );
    }
}
