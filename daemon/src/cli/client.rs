//! The client of the daemon's HTTP interface: over its Unix socket, or over TCP with a token.

mod job_stream;
mod long_running;
mod sse;

pub(super) use job_stream::JobStream;
pub(super) use long_running::Sign;
pub(super) use sse::{EventStream, StreamEvent};

use super::{
    arguments::Connection,
    failure::{Exit, Failure},
};
use crate::{
    config::{Settings, Source},
    http::CLI_AGENT,
};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use std::{io, path::PathBuf, time::Duration};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use trainmaster_domain::id::TrainingId;

/// A daemon that does not pick up within this time is not there.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The daemon gives up earlier than this by itself.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Talks to the daemon, a connection a request.
#[derive(Clone, Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    token: Option<String>,
}

#[derive(Clone, Debug)]
enum Endpoint {
    Unix(PathBuf),
    /// `host:port`.
    Tcp(String),
}

/// What the daemon says when it does not do something.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
}

/// A failure to be asked again.
enum Attempt {
    Final(Failure),
    /// Nothing is lost when it is sent again.
    Again(Failure, Duration),
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, Failure> {
        let endpoint = match &connection.url {
            Some(url) => Endpoint::Tcp(authority(url)?),
            None => Endpoint::Unix(socket(connection)),
        };
        let token = match (&connection.token_file, std::env::var("TRAINMASTER_TOKEN")) {
            (Some(path), _) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| {
                        Failure::usage(
                            "token_file",
                            format!("the token file {} cannot be read: {error}", path.display()),
                        )
                    })?
                    .trim()
                    .to_owned(),
            ),
            (None, Ok(token)) if !token.is_empty() => Some(token),
            _ => None,
        };
        Ok(Self { endpoint, token })
    }

    /// Whether the daemon sees the same files as this program.
    pub(super) const fn is_local(&self) -> bool {
        matches!(self.endpoint, Endpoint::Unix(_))
    }

    /// An answer that is text.
    pub(super) async fn get_text(&self, path: &str) -> Result<String, Failure> {
        let bytes = self.repeated(&Method::GET, path, None, None).await?;
        String::from_utf8(bytes.to_vec()).map_err(|error| {
            Failure::failed(
                "unexpected_answer",
                format!("the daemon's answer to {path} is no text ({error})"),
            )
        })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.repeatable(&Method::GET, path, None, None).await
    }

    /// A command, posted.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<serde_json::Value>,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        self.command(&Method::POST, path, body, key).await
    }

    /// A command. It has a key, so that it is done once however often it must be sent.
    pub(super) async fn command<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<serde_json::Value>,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        let fresh;
        let key = match key {
            Some(key) => key,
            None => {
                fresh = ulid::Ulid::generate().to_string();
                &fresh
            }
        };
        let body = body.map(|body| body.to_string());
        self.repeatable(method, path, body.as_deref(), Some(key))
            .await
    }

    /// A command that changes what is there, with a key of its own.
    pub(super) async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: serde_json::Value,
    ) -> Result<T, Failure> {
        let key = ulid::Ulid::generate().to_string();
        self.repeatable(&Method::PATCH, path, Some(&body.to_string()), Some(&key))
            .await
    }

    async fn repeatable<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: Option<&str>,
        key: Option<&str>,
    ) -> Result<T, Failure> {
        let bytes = self.repeated(method, path, body, key).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::failed(
                "unexpected_answer",
                format!("the daemon's answer to {method} {path} cannot be read ({error}); is it of another version?"),
            )
        })
    }

    async fn repeated(
        &self,
        method: &Method,
        path: &str,
        body: Option<&str>,
        key: Option<&str>,
    ) -> Result<Bytes, Failure> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.once(method, path, body, key).await {
                Ok(bytes) => return Ok(bytes),
                Err(Attempt::Again(_, pause)) if tries < 4 => tokio::time::sleep(pause).await,
                Err(Attempt::Again(failure, _) | Attempt::Final(failure)) => return Err(failure),
            }
        }
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&str>,
        key: Option<&str>,
    ) -> Result<Bytes, Attempt> {
        let broken = |error: hyper::Error| {
            Attempt::Again(
                Failure::new(
                    Exit::Unreachable,
                    "connection_lost",
                    format!("the connection to the daemon broke ({error}); ask again"),
                ),
                Duration::from_millis(200),
            )
        };
        let answer = async {
            let response = self.send(method, path, body, key, &[]).await?;
            let (parts, incoming) = response.into_parts();
            let bytes = incoming.collect().await.map_err(broken)?.to_bytes();
            if parts.status.is_success() {
                return Ok(bytes);
            }
            let pause = parts
                .headers
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            let failure = problem(parts.status, &bytes);
            Err(match pause {
                Some(pause) if parts.status == StatusCode::SERVICE_UNAVAILABLE => {
                    Attempt::Again(failure, pause.min(Duration::from_secs(5)))
                }
                _ => Attempt::Final(failure),
            })
        };
        timeout(ANSWER_LIMIT, answer).await.unwrap_or_else(|_| {
            Err(Attempt::Final(Failure::new(
                Exit::Unreachable,
                "no_answer",
                format!(
                    "the daemon did not answer within {} seconds; look at its log",
                    ANSWER_LIMIT.as_secs()
                ),
            )))
        })
    }

    /// Opens a stream whose answer goes on as long as both sides want.
    pub(super) async fn stream(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, Failure> {
        let response = match timeout(ANSWER_LIMIT, self.send(method, path, None, None, headers))
            .await
        {
            Ok(Ok(response)) => response,
            Ok(Err(Attempt::Again(failure, _) | Attempt::Final(failure))) => return Err(failure),
            Err(_) => {
                return Err(Failure::new(
                    Exit::Unreachable,
                    "no_answer",
                    "the daemon does not answer; look at its log",
                ));
            }
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = response
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        Err(problem(status, &bytes))
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&str>,
        key: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Response<Incoming>, Attempt> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(
                header::HOST,
                match &self.endpoint {
                    Endpoint::Unix(_) => "trainmaster",
                    Endpoint::Tcp(authority) => authority,
                },
            )
            .header(header::USER_AGENT, CLI_AGENT);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default().to_owned())))
            .map_err(|error| {
                Attempt::Final(Failure::usage(
                    "invalid_request",
                    format!("this cannot be sent: {error}; check ids, keys and the token for odd characters"),
                ))
            })?;
        let sent = match &self.endpoint {
            Endpoint::Unix(path) => {
                let stream = timeout(CONNECT_LIMIT, UnixStream::connect(path))
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    .map_err(|error| {
                        unreachable(&format!("the socket {}", path.display()), &error)
                    })?;
                exchange(stream, request).await
            }
            Endpoint::Tcp(authority) => {
                let stream = timeout(CONNECT_LIMIT, TcpStream::connect(authority.as_str()))
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    .map_err(|error| unreachable(authority, &error))?;
                exchange(stream, request).await
            }
        };
        sent.map_err(|error| {
            Attempt::Again(
                Failure::new(
                    Exit::Unreachable,
                    "connection_lost",
                    format!("the connection to the daemon broke ({error}); ask again"),
                ),
                Duration::from_millis(200),
            )
        })
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends by itself with the response.
    tokio::spawn(connection);
    sender.send_request(request).await
}

fn unreachable(place: &str, error: &io::Error) -> Attempt {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run this as the daemon's user, or let your group use the socket (http.socket_for_group)"
        }
        _ => {
            "start it with `trainmaster serve`, or say where it is with --state-dir, --socket or --url"
        }
    };
    Attempt::Final(Failure::new(
        Exit::Unreachable,
        "daemon_unreachable",
        format!("no daemon answers at {place} ({error}); {hint}"),
    ))
}

fn problem(status: StatusCode, bytes: &[u8]) -> Failure {
    let exit = match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Exit::NotFound,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::UNAUTHORIZED => Exit::Unreachable,
        StatusCode::BAD_REQUEST => Exit::Usage,
        _ => Exit::Failed,
    };
    match serde_json::from_slice::<Problem>(bytes) {
        Ok(problem) => Failure::new(exit, &problem.code, problem.detail),
        Err(_) => Failure::new(
            exit,
            "unexpected_answer",
            format!(
                "the daemon answers {status}, and not as trainmaster would; what is listening there?"
            ),
        ),
    }
}

/// `host:port` of a URL.
fn authority(url: &str) -> Result<String, Failure> {
    let wrong = |what: &str| Failure::usage("invalid_url", format!("--url {url:?}: {what}"));
    let rest = url.strip_prefix("http://").ok_or_else(|| {
        wrong("it must begin with http:// (for TLS, go through an SSH tunnel or a proxy)")
    })?;
    let authority = rest.trim_end_matches('/');
    if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
        return Err(wrong("it must be http://host:port"));
    }
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if has_port {
        Ok(authority.to_owned())
    } else {
        Ok(format!("{authority}:80"))
    }
}

/// The socket that is asked for, or else that of the configuration, as far as it can be read.
fn socket(connection: &Connection) -> PathBuf {
    if let Some(socket) = &connection.socket {
        return socket.clone();
    }
    if let Some(directory) = &connection.state_dir {
        return directory.join("run/trainmaster.sock");
    }
    Source::of_process(None, vec![])
        .load()
        .map_or_else(|_| Settings::default(), |loaded| loaded.settings)
        .http_socket()
}

/// Text as a segment of a path or a value of a query.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte as char);
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Where a training is read: those that segment images have a place of their own.
pub(super) fn training_path(id: &str) -> String {
    let collection = if TrainingId::is_segmentation(id) {
        "segmentations"
    } else {
        "trainings"
    };
    format!("/v1/{collection}/{}", encode(id))
}

/// A path with its query; parameters without a value are left out.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let query: Vec<String> = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_ref()?))))
        .collect();
    if query.is_empty() {
        path.to_owned()
    } else {
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{path}{separator}{}", query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_understood_or_refused_with_a_reason() {
        assert_eq!(
            authority("http://127.0.0.1:7423").unwrap(),
            "127.0.0.1:7423"
        );
        assert_eq!(authority("http://[::1]:7423/").unwrap(), "[::1]:7423");
        assert_eq!(authority("http://localhost").unwrap(), "localhost:80");
        for url in [
            "https://x:1",
            "x:1",
            "http://",
            "http://a/b",
            "http://u@h:1",
        ] {
            assert!(authority(url).is_err(), "{url}");
        }
    }

    #[test]
    fn what_is_asked_survives_its_address() {
        assert_eq!(encode("a b/ü"), "a%20b%2F%C3%BC");
        assert_eq!(
            with_query("/v1/x", &[("a", Some("1&2".into())), ("b", None)]),
            "/v1/x?a=1%262"
        );
    }
}
