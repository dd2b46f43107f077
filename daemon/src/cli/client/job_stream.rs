//! What a job's run tells, with a new connection where the last one broke.

use super::{Client, Failure, encode, sse::Parser};
use crate::cli::failure::Exit;
use http_body_util::BodyExt;
use hyper::{Method, body::Incoming};
use std::time::{Duration, Instant};

/// How long a daemon may be away, for a restart or an upgrade.
const PATIENCE: Duration = Duration::from_secs(120);

/// The events of a job. After a new connection they are told again, beginning with `begun`.
pub(in crate::cli) struct JobStream {
    client: Client,
    path: String,
    body: Option<Incoming>,
    parser: Parser,
}

impl JobStream {
    /// Follows a job.
    pub(in crate::cli) async fn open(client: &Client, id: &str) -> Result<Self, Failure> {
        let path = format!("/v1/jobs/{}/stream", encode(id));
        let response = client.stream(&Method::GET, &path, &[]).await?;
        Ok(Self {
            client: client.clone(),
            path,
            body: Some(response.into_body()),
            parser: Parser::default(),
        })
    }

    /// The next event. Where the daemon goes away in between, it is waited for. May be given up and asked again.
    pub(in crate::cli) async fn next(&mut self) -> Result<serde_json::Value, Failure> {
        loop {
            if let Some(data) = self.parser.next() {
                return serde_json::from_str(&data).map_err(|error| {
                    Failure::failed(
                        "unexpected_answer",
                        format!("what is told of the job cannot be read ({error}); is the daemon of another version?"),
                    )
                });
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
            tokio::time::sleep(pause).await;
            match self.client.stream(&Method::GET, &self.path, &[]).await {
                Ok(response) => {
                    self.body = Some(response.into_body());
                    return Ok(());
                }
                Err(failure) if failure.exit != Exit::Unreachable || begin.elapsed() > PATIENCE => {
                    return Err(failure);
                }
                Err(_) => pause = (pause * 2).min(Duration::from_secs(2)),
            }
        }
    }
}
