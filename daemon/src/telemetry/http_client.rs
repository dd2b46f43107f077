//! OTLP over HTTP: the requests, sent on the runtime of the daemon, as exporters work on threads of their own.

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError};
use std::time::Duration;
use tokio::{net::TcpStream, runtime::Handle};

/// An answer says whether it was taken, and at most why not.
const LARGEST_ANSWER_BYTES: usize = 1 << 20;
/// A receiver that takes longer is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection a request; a minute lies between two of them as a rule. `http://` only: a receiver elsewhere is reached through a collector
/// or proxy beside the daemon.
#[derive(Debug)]
pub(super) struct Client(pub Handle);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self
            .0
            .spawn(async move { tokio::time::timeout(PATIENCE, send(request)).await });
        sent.await??
    }
}

async fn send(mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let uri = request.uri().clone();
    if uri.scheme_str() != Some("http") {
        return Err(format!("{uri}: only http:// is spoken").into());
    }
    let host = uri
        .host()
        .ok_or_else(|| format!("{uri} names no host"))?
        .trim_matches(['[', ']']);
    let connection = TcpStream::connect((host, uri.port_u16().unwrap_or(80))).await?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await?;
    tokio::spawn(driver);
    if let Some(authority) = uri.authority() {
        let value = header::HeaderValue::from_str(authority.as_str())?;
        request.headers_mut().insert(header::HOST, value);
    }
    if let Some(path) = uri.path_and_query() {
        *request.uri_mut() = path.as_str().parse()?;
    }
    let answer = sender.send_request(request.map(Full::new)).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, LARGEST_ANSWER_BYTES).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
