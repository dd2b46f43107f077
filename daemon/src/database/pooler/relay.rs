//! Bytes there and back: a connection of the driver and one of the pooler, message by message.

use super::statements::Statements;
use sqlx::postgres::PgConnectOptions;
use std::{
    io,
    sync::{Mutex, PoisonError},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixListener, UnixStream},
};

/// A message of the driver that is longer is refused: it is held in memory until it is whole.
const LONGEST_BYTES: usize = 256 << 20;

/// Read at a time.
const CHUNK_BYTES: usize = 16 << 10;

/// Takes connections for ever, each with one to the pooler.
pub(super) async fn accept(listener: UnixListener, pooler: PgConnectOptions) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors: others give theirs back.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let pooler = pooler.clone();
        tokio::spawn(async move {
            if let Err(error) = connected(client, &pooler).await {
                tracing::debug!(%error, "a connection to the pooler ends");
            }
        });
    }
}

/// When the pooler is not there, the driver sees its connection closed before it has said anything, and tries again as for a server.
async fn connected(mut client: UnixStream, pooler: &PgConnectOptions) -> io::Result<()> {
    match pooler.get_socket() {
        Some(directory) => {
            let path = directory.join(format!(".s.PGSQL.{}", pooler.get_port()));
            let (reader, writer) = UnixStream::connect(path).await?.into_split();
            relay(&mut client, reader, writer).await
        }
        None => {
            let stream = TcpStream::connect((pooler.get_host(), pooler.get_port())).await?;
            stream.set_nodelay(true)?;
            let (reader, writer) = stream.into_split();
            relay(&mut client, reader, writer).await
        }
    }
}

async fn relay(
    client: &mut UnixStream,
    answers: impl AsyncRead + Unpin,
    requests: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let statements = Mutex::new(Statements::default());
    let (reader, writer) = client.split();
    // When either side ends, so does the other.
    tokio::select! {
        ended = forth(reader, requests, &statements) => ended,
        ended = back(answers, writer, &statements) => ended,
    }
}

async fn forth(
    mut client: impl AsyncRead + Unpin,
    mut pooler: impl AsyncWrite + Unpin,
    statements: &Mutex<Statements>,
) -> io::Result<()> {
    // The first message has no kind.
    let mut body = vec![];
    read_body(&mut client, &mut body).await?;
    let mut out = vec![];
    out.extend(length(body.len()).to_be_bytes());
    out.extend(&body);
    pooler.write_all(&out).await?;
    let mut client = tokio::io::BufReader::with_capacity(CHUNK_BYTES, client);
    loop {
        out.clear();
        // What has come together goes on together: an exchange is several messages.
        loop {
            let kind = match client.read_u8().await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            };
            read_body(&mut client, &mut body).await?;
            statements
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .said(kind, &body, &mut out)?;
            if client.buffer().is_empty() || out.len() > CHUNK_BYTES {
                break;
            }
        }
        pooler.write_all(&out).await?;
    }
}

async fn read_body(from: &mut (impl AsyncRead + Unpin), body: &mut Vec<u8>) -> io::Result<()> {
    let length = usize::try_from(from.read_u32().await?).unwrap_or(usize::MAX);
    let length = length
        .checked_sub(4)
        .filter(|length| *length <= LONGEST_BYTES)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "a message has no length that can be",
            )
        })?;
    body.clear();
    // Grows with what really comes.
    (&mut *from).take(length as u64).read_to_end(body).await?;
    if body.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// A body of this many bytes, as its message says it.
pub(super) fn length(body: usize) -> u32 {
    u32::try_from(body + 4).unwrap_or(u32::MAX)
}

async fn back(
    mut pooler: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    statements: &Mutex<Statements>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut out = Vec::with_capacity(CHUNK_BYTES);
    let mut header = Vec::with_capacity(5);
    let (mut left, mut is_passed_on) = (0, true);
    loop {
        let read = pooler.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        out.clear();
        let mut rest = chunk.get(..read).unwrap_or_default();
        while !rest.is_empty() {
            let (part, after) =
                rest.split_at(
                    rest.len()
                        .min(if left > 0 { left } else { 5 - header.len() }),
                );
            rest = after;
            if left > 0 {
                left -= part.len();
                if is_passed_on {
                    out.extend(part);
                }
                continue;
            }
            header.extend(part);
            if let [kind, a, b, c, d] = header[..] {
                left = usize::try_from(u32::from_be_bytes([a, b, c, d]))
                    .unwrap_or(usize::MAX)
                    .saturating_sub(4);
                is_passed_on = statements
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .answered(kind);
                if is_passed_on {
                    out.extend(&header);
                }
                header.clear();
            }
        }
        client.write_all(&out).await?;
    }
}
