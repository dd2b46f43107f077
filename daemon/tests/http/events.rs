//! The log as it grows.

use crate::{client, fixture::Interface};
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};
use tower::ServiceExt;
use trainmaster::http::HttpOptions;

/// Reads server-sent events until so many have come.
struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    async fn open(interface: &Interface, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = interface.app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next block; none when the stream has ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = block.to_owned();
                self.text = rest.to_owned();
                return Some(block);
            }
            let frame = tokio::time::timeout(Duration::from_secs(20), self.body.frame())
                .await
                .expect("the stream says nothing");
            let bytes = frame?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event: its id and its data.
    async fn event(&mut self) -> Option<(String, Value)> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(name))
                    .map(str::to_owned)
            };
            if let Some(data) = field("data: ") {
                let data: Value = serde_json::from_str(&data).unwrap();
                assert_eq!(field("event: ").as_deref(), data["type"].as_str());
                let id = field("id: ").unwrap();
                assert_eq!(data["position"], id);
                return Some((id, data));
            }
        }
    }
}

#[tokio::test]
async fn events_are_listed_in_order_with_what_caused_them() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let all = interface.get("/v1/events").await.body;
    let types: Vec<&str> = all["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "ModelRegistered",
            "ModelDownloaded",
            "DatasetRegistered",
            "DatasetDownloaded",
            "TrainingQueued"
        ]
    );
    assert_eq!(all["more"], false);
    assert_eq!(all["items"][4]["stream"], training);
    assert_eq!(all["items"][4]["metadata"]["actor"], "http");
    assert_eq!(all["items"][4]["payload"]["total_steps"], 100);

    let first = interface.get("/v1/events?limit=2").await.body;
    assert_eq!(first["more"], true);
    let rest = interface
        .get(&format!(
            "/v1/events?limit=2&after={}",
            first["next"].as_str().unwrap()
        ))
        .await
        .body;
    assert_eq!(rest["items"][0]["type"], "DatasetRegistered");

    for (query, expected) in [
        (
            "category=dataset".to_owned(),
            vec!["DatasetRegistered", "DatasetDownloaded"],
        ),
        (format!("stream={training}"), vec!["TrainingQueued"]),
        (
            format!("category=training&stream={training}"),
            vec!["TrainingQueued"],
        ),
        (format!("category=model&stream={training}"), vec![]),
        ("type=ModelDownloaded".to_owned(), vec!["ModelDownloaded"]),
        (
            "last=2".to_owned(),
            vec!["DatasetDownloaded", "TrainingQueued"],
        ),
        ("last=1&category=model".to_owned(), vec!["ModelDownloaded"]),
        ("last=500".to_owned(), types.clone()),
    ] {
        let found = interface.get(&format!("/v1/events?{query}")).await.body;
        let found: Vec<&str> = found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
}

#[tokio::test]
async fn a_stream_goes_on_from_where_it_was_cut_without_a_gap_or_a_repetition() {
    let interface = Interface::new().await;
    let mut stream = Stream::open(&interface, "/v1/events/stream", None).await;
    interface.model().await;
    let (_, first) = stream.event().await.unwrap();
    assert_eq!(first["type"], "ModelRegistered");
    let last = first["position"].as_str().unwrap().to_owned();
    drop(stream);
    let body = json!({ "path": interface.book(), "tokenizer_model": "tiny" });
    interface.post("/v1/datasets", body).await;
    // Last-Event-ID counts, not the `after` of the first request that a browser repeats.
    let mut stream = Stream::open(&interface, "/v1/events/stream?after=0-0", Some(&last)).await;
    for expected in ["ModelDownloaded", "DatasetRegistered", "DatasetDownloaded"] {
        assert_eq!(stream.event().await.unwrap().1["type"], expected);
    }
}

#[tokio::test]
async fn a_stream_can_be_of_one_training_alone() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let path = format!("/v1/events/stream?category=training&stream={training}&after=0-0");
    let mut stream = Stream::open(&interface, &path, None).await;
    assert_eq!(stream.event().await.unwrap().1["type"], "TrainingQueued");
    interface.run_training(&training).await;
    assert_eq!(stream.event().await.unwrap().1["type"], "TrainingClaimed");
    assert_eq!(stream.event().await.unwrap().1["type"], "TrainingStarted");
}

#[tokio::test]
async fn a_quiet_stream_gives_signs_of_life_and_ends_at_shutdown() {
    let interface = Interface::with(HttpOptions {
        heartbeat: Duration::from_millis(50),
        ..HttpOptions::default()
    })
    .await;
    let mut stream = Stream::open(&interface, "/v1/events/stream", None).await;
    assert!(stream.block().await.unwrap().starts_with(':'));
    assert!(stream.block().await.unwrap().starts_with(':'));
    interface.shutdown.cancel();
    while stream.block().await.is_some() {}
}

#[tokio::test]
async fn there_are_only_so_many_streams_at_once() {
    let interface = Interface::with(HttpOptions {
        max_streams: 1,
        ..HttpOptions::default()
    })
    .await;
    let stream = Stream::open(&interface, "/v1/events/stream", None).await;
    let refused = interface.get("/v1/events/stream").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (503, "too_many_streams")
    );
    assert!(refused.headers.contains_key("retry-after"));
    drop(stream);
    Stream::open(&interface, "/v1/events/stream", None).await;
}

#[tokio::test]
async fn the_command_line_waits_for_a_pause_and_watches_to_the_end() {
    let interface = Interface::new().await;
    let served = client::serve(&interface).await;
    let id = interface.training().await;
    interface.run_training(&id).await;
    let arguments = ["pause", &id, "--wait", "--timeout", "30"];
    let pausing = served.run(&arguments);
    let resting = async {
        let path = format!("/v1/events/stream?stream={id}&after=0-0");
        let mut stream = Stream::open(&interface, &path, None).await;
        while stream.event().await.unwrap().1["type"] != "PauseRequested" {}
        interface
            .training_says(&id, 3, json!({ "record": "paused", "step": 0 }))
            .await;
    };
    let (paused, ()) = tokio::join!(pausing, resting);
    assert_eq!(paused.code, 0, "{paused:?}");
    let watched = served.run(&["watch", &id]).await;
    assert_eq!(watched.code, 6, "{watched:?}");
    assert!(
        watched.stdout.contains("paused at step 0 of 100"),
        "{watched:?}"
    );
}

#[tokio::test]
async fn a_watcher_outlives_a_restart_of_the_daemon() {
    let interface = Interface::new().await;
    let id = interface.training().await;
    interface.run_training(&id).await;
    let served = client::serve(&interface).await;
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_trainmaster"))
        .arg("--socket")
        .arg(served.socket())
        .args(["watch", &id, "--json"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
    // It may have looked before the tables showed that.
    while !lines
        .next_line()
        .await
        .unwrap()
        .unwrap()
        .contains("\"status\":\"training\"")
    {}
    served.end().await;
    interface
        .training_says(&id, 3, json!({ "record": "paused", "step": 0 }))
        .await;
    let _again = client::serve(&interface).await;
    let next = lines.next_line().await.unwrap().unwrap();
    assert!(next.contains("\"status\":\"paused\""), "{next}");
    assert_eq!(watcher.wait().await.unwrap().code(), Some(6));
}
