//! What was, and what changed, over HTTP and on the command line.

use crate::{client, fixture::Interface};
use serde_json::{Value, json};
use trainmaster_domain::Position;

/// The last of the JSON lines.
fn outcome(body: &Value) -> Value {
    match body {
        Value::String(lines) => serde_json::from_str(lines.lines().last().unwrap()).unwrap(),
        one => one.clone(),
    }
}

async fn last(interface: &Interface) -> Position {
    let mut at = Position::START;
    loop {
        let page = interface.log.read(at, 100).await.unwrap();
        match page.last() {
            Some(last) => at = last.position,
            None => return at,
        }
    }
}

/// A training that was queued, and then stopped before it ran: the position in between.
async fn queued_and_stopped(interface: &Interface) -> (String, Position) {
    let id = interface.training().await;
    let mut queued = last(interface).await;
    // Other tests of this cluster may hold readers back.
    while interface.get(&at(&id, "0s")).await.status != 200 || queued == Position::START {
        queued = last(interface).await;
    }
    queued = last(interface).await;
    let stopped = interface
        .post(&format!("/v1/trainings/{id}/stop"), Value::Null)
        .await;
    assert!(stopped.status.is_success(), "{stopped:?}");
    while last(interface).await == queued {
        tokio::task::yield_now().await;
    }
    (id, queued)
}

fn at(id: &str, point: &str) -> String {
    format!(
        "/v1/history/training/{id}?at={}",
        point.replace('+', "%2B").replace(' ', "%20")
    )
}

#[tokio::test]
async fn a_training_is_shown_as_it_was() {
    let interface = Interface::new().await;
    let (id, queued) = queued_and_stopped(&interface).await;
    let now = interface.get(&at(&id, "0 seconds ago")).await;
    assert_eq!(now.body["status"], "stopped", "{now:?}");
    let then = interface.get(&at(&id, &queued.to_string())).await;
    assert_eq!(then.body["status"], "queued", "{then:?}");
    assert_eq!(then.body["version"], 1);
    assert_eq!(then.body["state"]["current_step"], 0);
    assert!(then.body["state"]["hyperparameters"].is_object());

    // The same point by its time.
    let by_time = interface.get(&at(&id, &then.text("recorded_at"))).await;
    assert_eq!(by_time.body, then.body);
    let later = interface.get(&at(&id, &now.text("recorded_at"))).await;
    assert_eq!(later.body, now.body);
}

#[tokio::test]
async fn what_was_not_there_or_cannot_be_meant_is_refused() {
    let interface = Interface::new().await;
    let (id, _) = queued_and_stopped(&interface).await;
    for (path, status, code) in [
        (at(&id, "1-0"), 404, "not_there_then"),
        (at(&id, "2020-01-01T00:00:00Z"), 404, "not_there_then"),
        (at(&id, "50 weeks ago"), 404, "not_there_then"),
        (at("tr_none", "0s"), 404, "stream_not_found"),
        (at(&id, "yesterday"), 400, "invalid_query"),
        (at("../x", "0s"), 404, "no_such_route"),
        ("/v1/history/cat/x?at=0s".to_owned(), 400, "invalid_query"),
        (format!("/v1/history/training/{id}"), 400, "invalid_query"),
        (
            "/v1/events/diff?from=0-0&limit=0".to_owned(),
            400,
            "invalid_query",
        ),
        ("/v1/events/diff".to_owned(), 400, "invalid_query"),
        ("/v1/events/diff?from=x".to_owned(), 400, "invalid_query"),
    ] {
        let answer = interface.get(&path).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        if code != "no_such_route" {
            assert_eq!(answer.code(), code, "{path}: {answer:?}");
        }
    }
    let backwards = interface.get("/v1/events/diff?from=0s&to=0-0").await;
    assert_eq!(outcome(&backwards.body)["problem"]["code"], "invalid_query");
}

#[tokio::test]
async fn what_changed_between_two_points_is_told_field_by_field() {
    let interface = Interface::new().await;
    let (id, queued) = queued_and_stopped(&interface).await;
    let all = interface.get("/v1/events/diff?from=0-0").await;
    let all = outcome(&all.body)["done"].clone();
    assert_eq!(all["streams"], 3, "{all}");
    assert_eq!(all["by_type"]["TrainingQueued"], 1);
    let created: Vec<_> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["change"])
        .collect();
    assert_eq!(created, ["created", "created", "created"]);

    let path = format!("/v1/events/diff?from={queued}");
    let stopped = interface.get(&path).await;
    let stopped = outcome(&stopped.body)["done"].clone();
    assert_eq!(stopped["streams"], 1, "{stopped}");
    let item = &stopped["items"][0];
    assert_eq!(
        (
            &item["id"],
            &item["change"],
            &item["status_before"],
            &item["status_after"]
        ),
        (
            &json!(id),
            &json!("changed"),
            &json!("queued"),
            &json!("stopped")
        )
    );
    assert_eq!(item["version_before"], 1);
    let nothing = interface
        .get(&format!("/v1/events/diff?from={queued}&to={queued}"))
        .await;
    assert_eq!(outcome(&nothing.body)["done"]["events"], 0);
    let one = interface.get("/v1/events/diff?from=0-0&limit=1").await;
    let one = outcome(&one.body)["done"].clone();
    assert_eq!(
        (
            one["streams"].clone(),
            one["items"].as_array().unwrap().len()
        ),
        (json!(3), 1)
    );
}

#[tokio::test]
async fn the_command_line_asks_about_the_past() {
    let interface = Interface::new().await;
    let (id, queued) = queued_and_stopped(&interface).await;
    let served = client::serve(&interface).await;
    let then = served
        .run(&["show", &id, "--at", &queued.to_string()])
        .await;
    assert_eq!(then.code, 0, "{then:?}");
    assert!(
        then.stdout.contains("queued") && then.stdout.contains(&id),
        "{then:?}"
    );
    let then = served.run(&["show", &id, "--at", "0s", "--json"]).await;
    assert_eq!(then.json()["status"], "stopped");
    let never = served
        .run(&["show", &id, "--at", "2020-01-01T00:00:00Z"])
        .await;
    assert_eq!(never.code, 4, "{never:?}");
    let wrong = served.run(&["show", &id, "--at", "yesterday"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let diff = served.run(&["events", "diff", &queued.to_string()]).await;
    assert!(diff.stdout.contains("queued → stopped"), "{diff:?}");
    let diff = served.run(&["events", "diff", "0-0", "--json"]).await;
    assert_eq!(diff.json()["streams"], 3);
}
