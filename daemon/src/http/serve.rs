//! Accepts connections and answers them, until told to finish.

use super::{AppState, Listener, auth, router};
use axum::{Router, middleware};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Serves the interface at all `listeners` until `shutdown`: then nothing new is accepted, event streams end, and what is being
/// answered is finished.
pub async fn serve(listeners: Vec<Listener>, state: AppState, shutdown: CancellationToken) {
    let open = router(state.clone());
    let connections = TaskTracker::new();
    let mut accepting = Vec::new();
    for listener in listeners {
        let app = match &listener {
            Listener::Unix { .. } => open.clone(),
            Listener::Tcp { token, .. } => open
                .clone()
                .layer(middleware::from_fn_with_state(token.clone(), auth::ask)),
        };
        accepting.push(accept(
            listener,
            app,
            state.clone(),
            connections.clone(),
            shutdown.clone(),
        ));
    }
    futures::future::join_all(accepting).await;
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: Listener,
    app: Router,
    state: AppState,
    connections: TaskTracker,
    shutdown: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(state.options().max_connections));
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                let connection = connection(stream, app.clone(), &state, shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must end first.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    if let Listener::Unix { path, .. } = &listener {
        let _ = std::fs::remove_file(path);
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix { listener, .. } => Box::new(listener.accept().await?.0),
            Self::Tcp { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
        })
    }
}

fn connection(
    stream: Box<dyn Stream>,
    app: Router,
    state: &AppState,
    shutdown: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let service = TowerToHyperService::new(tower::util::MapRequest::new(
        app,
        |request: hyper::Request<Incoming>| request.map(axum::body::Body::new),
    ));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.options().receive_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    async move {
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
