//! Where and how the daemon answers over HTTP, as the settings say.

use crate::{
    config::Settings,
    http::{HttpOptions, ListenError, Listener, Token},
};

/// Listens wherever the settings say; what cannot be listened on ends the daemon.
pub(super) async fn listen(settings: &Settings) -> Result<Vec<Listener>, ListenError> {
    let mode = if settings.http.socket_for_group {
        0o660
    } else {
        0o600
    };
    let mut listeners = vec![Listener::unix(&settings.http_socket(), mode).await?];
    if let (Some(address), Some(token)) = (settings.http.listen, &settings.http.token) {
        listeners.push(Listener::tcp(address, Token::new(token.expose())).await?);
    }
    Ok(listeners)
}

/// The options of the interface.
pub(super) fn options(settings: &Settings) -> HttpOptions {
    HttpOptions {
        max_body_bytes: usize::try_from(settings.http.max_body_bytes).unwrap_or(usize::MAX),
        request_timeout: settings.http.request_timeout_seconds.duration(),
        ..HttpOptions::default()
    }
}
