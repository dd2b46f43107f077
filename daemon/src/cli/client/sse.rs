//! Server-sent events as the daemon sends them, with a new connection where the last one broke.

use super::{Client, Failure, with_query};
use crate::{cli::failure::Exit, http::POSITION};
use http_body_util::BodyExt;
use hyper::{Method, body::Incoming};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// An event of the log.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct StreamEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub(in crate::cli) kind: String,
    /// The particulars.
    pub(in crate::cli) payload: serde_json::Value,
}

/// The log as it grows.
pub(in crate::cli) struct EventStream {
    client: Client,
    path: String,
    /// Behind which position the stream goes on.
    at: String,
    body: Option<Incoming>,
    parser: Parser,
    patience: Duration,
}

/// How long a daemon may be away, for a restart or an upgrade.
const PATIENCE: Duration = Duration::from_secs(120);

impl EventStream {
    /// Follows events from behind `after`, or from now on.
    pub(in crate::cli) async fn open(
        client: &Client,
        filters: &[(&str, Option<String>)],
        after: Option<&str>,
    ) -> Result<Self, Failure> {
        let path = with_query("/v1/events/stream", filters);
        let first = with_query(&path, &[("after", after.map(str::to_owned))]);
        let response = client.stream(&Method::GET, &first, &[]).await?;
        let at = response
            .headers()
            .get(POSITION)
            .and_then(|value| value.to_str().ok())
            .ok_or_else(|| {
                Failure::failed(
                    "unexpected_answer",
                    "the daemon's event stream does not say where it begins; is it of another version?",
                )
            })?
            .to_owned();
        Ok(Self {
            client: client.clone(),
            path,
            at,
            body: Some(response.into_body()),
            parser: Parser::default(),
            patience: PATIENCE,
        })
    }

    /// The position behind which the stream goes on.
    pub(in crate::cli) fn position(&self) -> &str {
        &self.at
    }

    /// The next event. Where the daemon goes away in between, it is waited for.
    pub(in crate::cli) async fn next(&mut self) -> Result<StreamEvent, Failure> {
        let value = self.next_value().await?;
        StreamEvent::deserialize(value).map_err(|error| unreadable(&error))
    }

    /// The next event as it was sent.
    pub(in crate::cli) async fn next_value(&mut self) -> Result<serde_json::Value, Failure> {
        loop {
            if let Some(data) = self.parser.next() {
                let event: serde_json::Value =
                    serde_json::from_str(&data).map_err(|error| unreadable(&error))?;
                if let Some(position) = event.get("position").and_then(|value| value.as_str()) {
                    position.clone_into(&mut self.at);
                }
                return Ok(event);
            }
            let Some(body) = self.body.as_mut() else {
                self.reconnect().await?;
                continue;
            };
            match body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.parser.push(bytes);
                    }
                }
                _ => self.body = None,
            }
        }
    }

    async fn reconnect(&mut self) -> Result<(), Failure> {
        let begin = Instant::now();
        let mut pause = Duration::from_millis(100);
        self.parser = Parser::default();
        loop {
            let headers = [("last-event-id", self.at.as_str())];
            match self.client.stream(&Method::GET, &self.path, &headers).await {
                Ok(response) => {
                    self.body = Some(response.into_body());
                    return Ok(());
                }
                Err(failure)
                    if failure.exit != Exit::Unreachable || begin.elapsed() > self.patience =>
                {
                    return Err(failure);
                }
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::failed(
        "unexpected_answer",
        format!("an event of the daemon cannot be read ({error}); is it of another version?"),
    )
}

/// Splits a stream of bytes into the data of its events.
#[derive(Default)]
pub(super) struct Parser {
    buffer: Vec<u8>,
    /// What of the buffer is known to hold no whole line.
    seen: usize,
    data: String,
    ready: std::collections::VecDeque<String>,
}

impl Parser {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = self.buffer[self.seen.max(begin)..]
            .iter()
            .position(|byte| *byte == b'\n')
        {
            let end = self.seen.max(begin) + length;
            let line = String::from_utf8_lossy(&self.buffer[begin..end]).into_owned();
            self.line(line.trim_end_matches('\r'));
            begin = end + 1;
        }
        self.buffer.drain(..begin);
        self.seen = self.buffer.len();
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            if !self.data.is_empty() {
                self.ready.push_back(std::mem::take(&mut self.data));
            }
        } else if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        // `id` and `event` repeat what the data says; a line that begins with a colon is a sign of life.
    }

    pub(super) fn next(&mut self) -> Option<String> {
        self.ready.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::Parser;

    #[test]
    fn events_are_whole_however_the_bytes_arrive() {
        let text = ": still here\n\nid: 1-2\nevent: X\ndata: {\"a\":\ndata: 1}\n\ndata: two\r\n\r\ndata: unfinished";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = vec![];
            for chunk in text.as_bytes().chunks(size) {
                parser.push(chunk);
                while let Some(event) = parser.next() {
                    events.push(event);
                }
            }
            assert_eq!(events, ["{\"a\":\n1}", "two"], "in pieces of {size}");
        }
    }
}
