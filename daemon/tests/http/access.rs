//! Who may come in, and how much at once.

use crate::{
    client,
    fixture::{Interface, tiny_llama},
};
use std::{os::unix::fs::PermissionsExt, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_util::sync::CancellationToken;
use trainmaster::http::{self, HttpOptions, ListenError, Listener, Token};

/// A request by hand, so that nothing is mended on its way; the answer's head and body.
async fn raw(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn over_tcp_the_token_opens_everything_but_health_which_is_open() {
    let interface = Interface::new().await;
    let listener = Listener::tcp(
        "127.0.0.1:0".parse().unwrap(),
        Token::new("correct horse battery"),
    )
    .await
    .unwrap();
    let Listener::Tcp {
        listener: socket, ..
    } = &listener
    else {
        unreachable!()
    };
    let address = socket.local_addr().unwrap();
    let end = CancellationToken::new();
    let serving = tokio::spawn(http::serve(
        vec![listener],
        interface.state.clone(),
        end.clone(),
    ));
    for (path, authorization, status) in [
        ("/v1/models", "", 401),
        ("/openapi.json", "", 401),
        ("/nowhere", "", 401),
        ("/v1/models", "Authorization: Bearer wrong\r\n", 401),
        ("/v1/models", "Authorization: Bearer \r\n", 401),
        (
            "/v1/models",
            "Authorization: Basic correct horse battery\r\n",
            401,
        ),
        (
            "/v1/models",
            "Authorization: correct horse battery\r\n",
            401,
        ),
        ("/v1/models?token=correct", "", 401),
        ("/health/../v1/models", "", 404),
        (
            "/v1/models",
            "Authorization: Bearer correct horse battery\r\n",
            200,
        ),
        (
            "/v1/models",
            "Authorization: bearer correct horse battery\r\n",
            200,
        ),
        ("/health/live", "", 200),
        ("/health/db", "", 200),
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\n{authorization}Connection: close\r\n\r\n");
        let answer = raw(address, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path} {authorization}: {answer}"
        );
        if status == 401 {
            assert!(answer.contains("\"code\":\"unauthorized\""), "{answer}");
            assert!(
                answer.to_lowercase().contains("www-authenticate: bearer"),
                "{answer}"
            );
        }
    }
    let url = format!("http://{address}");
    assert_eq!(client::run(&["--url", &url, "ls"]).await.code, 3);
    let token = interface.directory.path().join("token");
    std::fs::write(&token, "correct horse battery\n").unwrap();
    let token = token.to_str().unwrap();
    let ran = client::run(&["--url", &url, "--token-file", token, "ls"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    end.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused =
            Listener::tcp(address.parse().unwrap(), Token::new("a long enough token")).await;
        assert!(
            matches!(refused, Err(ListenError::NotLoopback(_))),
            "{address}"
        );
    }
}

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_replaces_what_a_dead_daemon_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.sock");
    drop(Listener::unix(&path, 0o600).await.unwrap());
    assert!(path.exists(), "as after a kill -9");
    let listener = Listener::unix(&path, 0o660).await.unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(
        Listener::unix(&path, 0o600).await,
        Err(ListenError::InUse(_))
    ));
    drop(listener);
    let file = directory.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    assert!(matches!(
        Listener::unix(&file, 0o600).await,
        Err(ListenError::NotASocket(_))
    ));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
    let long = directory.path().join("x".repeat(120));
    assert!(matches!(
        Listener::unix(&long, 0o600).await,
        Err(ListenError::TooLong(_))
    ));
}

#[tokio::test]
async fn a_client_that_dawdles_is_sent_away() {
    let interface = Interface::with(HttpOptions {
        receive_timeout: Duration::from_millis(200),
        ..HttpOptions::default()
    })
    .await;
    let socket = interface.directory.path().join("s.sock");
    let listener = Listener::unix(&socket, 0o600).await.unwrap();
    let end = CancellationToken::new();
    let serving = tokio::spawn(http::serve(
        vec![listener],
        interface.state.clone(),
        end.clone(),
    ));
    let mut answer = String::new();
    let mut slow = UnixStream::connect(&socket).await.unwrap();
    slow.write_all(b"GET /v1/models HTTP/1.1\r\nHost")
        .await
        .unwrap();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(
        !answer.contains(" 200 "),
        "the head never came whole: {answer}"
    );

    let mut slow = UnixStream::connect(&socket).await.unwrap();
    let head = "POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("body_too_slow"), "{answer}");
    end.cancel();
    serving.await.unwrap();
    assert!(!socket.exists(), "the socket goes with the daemon");
}

#[tokio::test]
async fn an_open_stream_does_not_hold_up_the_end() {
    let interface = Interface::new().await;
    let socket = interface.directory.path().join("s.sock");
    let listener = Listener::unix(&socket, 0o600).await.unwrap();
    let serving = tokio::spawn(http::serve(
        vec![listener],
        interface.state.clone(),
        interface.shutdown.clone(),
    ));
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    stream
        .write_all(b"GET /v1/events/stream HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
    interface.shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), serving)
        .await
        .expect("it did not end")
        .unwrap();
}

#[tokio::test]
async fn too_many_requests_at_once_are_asked_to_come_again_but_health_is_answered() {
    let interface = Interface::with(HttpOptions {
        max_requests: 0,
        ..HttpOptions::default()
    })
    .await;
    let refused = interface.get("/v1/models").await;
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (503, "overloaded")
    );
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(interface.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_given_up() {
    let interface = Interface::with(HttpOptions {
        request_timeout: Duration::from_millis(300),
        ..HttpOptions::default()
    })
    .await;
    let mut locked = interface.log.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE mistudio.models IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await
        .unwrap();
    let answer = interface.get("/v1/models").await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (503, "timed_out"),
        "{answer:?}"
    );
    locked.rollback().await.unwrap();
    assert_eq!(interface.get("/v1/models").await.status, 200);
}

#[tokio::test]
async fn a_request_keeps_its_name_and_its_trace() {
    let interface = Interface::new().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = [("x-request-id", "abc-1"), ("traceparent", trace)];
    let body = serde_json::json!({ "path": tiny_llama() });
    let answer = interface
        .post_with("/v1/models", body.clone(), &headers)
        .await;
    assert_eq!(answer.headers["x-request-id"], "abc-1");
    let event = &interface.get("/v1/events?last=1").await.body["items"][0];
    assert_eq!(event["metadata"]["correlation_id"], "abc-1");
    assert_eq!(event["metadata"]["traceparent"], trace);

    let nonsense = [("x-request-id", "a b"), ("traceparent", "00-0-0-0")];
    let answer = interface.post_with("/v1/models", body, &nonsense).await;
    assert_eq!(answer.headers["x-request-id"].len(), 26);
    let event = &interface.get("/v1/events?last=1").await.body["items"][0];
    assert_eq!(event["metadata"]["traceparent"], serde_json::Value::Null);
}
