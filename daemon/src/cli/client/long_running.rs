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
    Progress(Progress),
    Done(T),
    Problem(Problem),
}

/// How far the daemon says that it is.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(in crate::cli) struct Progress {
    pub(in crate::cli) done: u64,
    pub(in crate::cli) total: u64,
    pub(in crate::cli) unit: String,
}

/// A sign of life of long work.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Sign {
    /// It has been going on for so many seconds.
    Working(f64),
    /// It is so far.
    Progress(Progress),
}

impl Client {
    /// Asks for something that takes long, saying how long it has been taking and how far it is.
    pub(in crate::cli) async fn long_running<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        mut sign: impl FnMut(Sign),
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
                    Ok(Line::Working { seconds }) => sign(Sign::Working(seconds)),
                    Ok(Line::Progress(progress)) => sign(Sign::Progress(progress)),
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
