//! Health, as the document of the database shows it.

use crate::fixture::{Interface, patient};
use axum::{body::Body, http::Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use trainmaster::{
    http::{self, AppState},
    log::Log,
    projector::{Projector, ProjectorOptions},
};
use trainmaster_tests::postgres::Cluster;

/// Within which an answer comes, whatever the database does.
const BOUND: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_healthy_database_is_told_as_its_document_shows() {
    let interface = Interface::new().await;
    let answer = interface.get("/health/db").await;
    assert_eq!(answer.status, 200);
    let body = answer.body.as_object().unwrap();
    assert_eq!(body.keys().collect::<Vec<_>>(), ["database", "status"]);
    assert_eq!(body["status"], "healthy");
    let database = body["database"].as_object().unwrap();
    let names: Vec<&String> = database.keys().collect();
    assert_eq!(
        names,
        [
            "active_connections",
            "available_connections",
            "connected",
            "pool_size"
        ]
    );
    assert_eq!(database["connected"], true);
    let number = |name: &str| database[name].as_i64().unwrap();
    assert_eq!(number("pool_size"), 16);
    assert!(number("active_connections") >= 1);
    assert_eq!(
        number("active_connections") + number("available_connections"),
        16
    );
}

#[tokio::test]
async fn the_answer_is_the_document_s_letter_for_letter_but_for_its_numbers() {
    let interface = Interface::new().await;
    let response = interface
        .app
        .clone()
        .oneshot(Request::get("/health/db").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/json",
        "{response:?}"
    );
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let (before, numbers) = text.split_once("\"pool_size\":16,").unwrap();
    assert_eq!(
        before,
        r#"{"status":"healthy","database":{"connected":true,"#
    );
    assert!(
        numbers.starts_with(r#""active_connections":"#)
            && numbers.contains(r#","available_connections":"#)
            && numbers.ends_with("}}"),
        "{numbers}"
    );
}

#[tokio::test]
async fn a_pool_whose_connections_are_all_in_use_is_unhealthy_until_one_is_free() {
    let interface = Interface::new().await;
    let mut held = vec![];
    for _ in 0..16 {
        held.push(interface.log.pool().acquire().await.unwrap());
    }
    let asked = Instant::now();
    let answer = interface.get("/health/db").await;
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.body,
        json!({ "status": "unhealthy", "database": {
            "connected": false, "pool_size": 16, "active_connections": 16, "available_connections": 0 } })
    );
    held.clear();
    let answer = interface.get("/health/db").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &json!("healthy"))
    );
}

#[tokio::test]
async fn a_server_that_takes_connections_and_never_answers_is_unhealthy_within_seconds() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(mute.local_addr().unwrap().port())
        .username("pic_user")
        .database("pic_db");
    let pool = PgPoolOptions::new()
        .max_connections(5)
        .connect_lazy_with(options);
    let log = Log::new(pool.clone());
    let projector = Projector::new(log.clone(), pool, ProjectorOptions::default());
    let state = AppState::new(patient(), log, projector, CancellationToken::new());
    let asked = Instant::now();
    let response = http::router(state)
        .oneshot(Request::get("/health/db").body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert!(asked.elapsed() < BOUND, "{:?}", asked.elapsed());
    assert_eq!(response.status(), 500);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (
            &body["status"],
            &body["database"]["connected"],
            &body["database"]["pool_size"]
        ),
        (&json!("unhealthy"), &json!(false), &json!(5))
    );
}

#[tokio::test]
async fn without_its_database_the_daemon_lives_but_is_not_ready() {
    let interface = Interface::new().await;
    assert_eq!(
        interface.get("/health/ready").await.body,
        json!({ "status": "ready" })
    );
    interface.log.pool().close().await;
    let live = interface.get("/health/live").await;
    assert_eq!(
        (live.status.as_u16(), live.body),
        (200, json!({ "status": "live" }))
    );
    let ready = interface.get("/health/ready").await;
    assert_eq!(
        (ready.status.as_u16(), ready.body),
        (503, json!({ "status": "not ready" }))
    );
    let database = interface.get("/health/db").await;
    assert_eq!(database.status, 500);
    assert_eq!(database.body["status"], "unhealthy");
    assert_eq!(database.body["database"]["connected"], false);

    for answer in [
        interface.get("/v1/models").await,
        interface.get("/v1/events").await,
        interface
            .post("/v1/trainings/tr_1/pause", Value::Null)
            .await,
    ] {
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (503, "database_unavailable"),
            "{answer:?}"
        );
        assert!(answer.headers.contains_key("retry-after"));
    }
}

#[tokio::test]
async fn a_database_that_goes_and_comes_back_is_told_as_such_and_nothing_else_is_needed() {
    // Durable: what was acknowledged must be there after the crash.
    let cluster = Cluster::start_with(&[]);
    let interface = Interface::over(cluster.database().await, patient()).await;
    interface.model().await;
    cluster.stop();
    let answer = interface.get("/v1/models").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (503, "database_unavailable"),
        "{answer:?}"
    );
    assert_eq!(interface.get("/health/db").await.status, 500);
    cluster.boot();
    let answer = interface.get("/v1/models").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(interface.get("/health/db").await.status, 200);
    // The tables may have lost their last moments, which the log has: they are made up for without being asked.
    let made_up = async {
        loop {
            let models = interface.get("/v1/models").await.body;
            if models["items"]
                .as_array()
                .is_some_and(|items| items.len() == 1)
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), made_up)
        .await
        .expect("the model does not come back");
}
