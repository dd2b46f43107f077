//! Answers that take long: a stream of JSON lines, the last of which is the outcome.

use super::{Client, Failure, Problem};
use crate::cli::failure::Exit;
use http_body_util::BodyExt;
use hyper::Method;
use serde::{Deserialize, de::DeserializeOwned};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<T> {
    Working { seconds: f64 },
    Done(T),
    Problem(Problem),
}

impl Client {
    /// Asks for something that takes long, saying how long it has been taking.
    pub(in crate::cli) async fn long_running<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        working: impl Fn(f64),
    ) -> Result<T, Failure> {
        let mut body = self.stream(method, path, &[]).await?.into_body();
        let mut buffer = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(bytes) = frame.data_ref() {
                buffer.extend_from_slice(bytes);
            }
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                match serde_json::from_slice::<Line<T>>(&line) {
                    Ok(Line::Working { seconds }) => working(seconds),
                    Ok(Line::Done(outcome)) => return Ok(outcome),
                    Ok(Line::Problem(problem)) => {
                        return Err(Failure::failed(&problem.code, problem.detail));
                    }
                    Err(error) => {
                        return Err(Failure::failed(
                            "unexpected_answer",
                            format!(
                                "the daemon's answer cannot be read ({error}); is it of another version?"
                            ),
                        ));
                    }
                }
            }
        }
        Err(Failure::new(
            Exit::Unreachable,
            "connection_lost",
            "the connection to the daemon broke before it was done; ask again",
        ))
    }
}
