//! A request to the daemon over its Unix socket, with a connection of its own.

use serde_json::Value;
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// How long a client waits for an answer.
const LIMIT: Duration = Duration::from_secs(6);

/// What became of a request.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// An answer came.
    Answered(Answer),
    /// None came: whether anything was done is not known.
    Lost(String),
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) is_problem: bool,
    /// Null when it is not JSON.
    pub(super) body: Value,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
}

/// Asks once. `id` becomes the correlation id of what it sets in motion.
pub(super) async fn ask(socket: &Path, asked: &Asked, id: &str, key: Option<&str>) -> Outcome {
    match tokio::time::timeout(LIMIT, exchange(socket, asked, id, key)).await {
        Ok(Ok(answer)) => Outcome::Answered(answer),
        Ok(Err(error)) => Outcome::Lost(error.to_string()),
        Err(_) => Outcome::Lost(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

async fn exchange(
    socket: &Path,
    asked: &Asked,
    id: &str,
    key: Option<&str>,
) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(socket).await?;
    let body = asked.body.as_ref().map(Value::to_string);
    let mut request = format!(
        "{} {} HTTP/1.1\r\nhost: lab\r\nconnection: close\r\nx-request-id: {id}\r\n",
        asked.method, asked.path
    );
    if let Some(key) = key {
        request.push_str(&format!("idempotency-key: {key}\r\n"));
    }
    if let Some(body) = &body {
        request.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ));
    } else if asked.method != "GET" {
        request.push_str("content-length: 0\r\n");
    }
    request.push_str("\r\n");
    request.push_str(body.as_deref().unwrap_or_default());
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    read(&bytes)
        .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the answer is cut"))
}

fn read(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    };
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    // A part of an answer is none.
    if length.is_some_and(|length| length != body.len()) {
        return None;
    }
    Some(Answer {
        status,
        is_problem: header("content-type") == Some("application/problem+json"),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    })
}
