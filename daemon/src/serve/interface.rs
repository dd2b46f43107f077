//! Where and how the daemon answers over HTTP, as the settings say.

use crate::{
    archive::ArchiverOptions,
    config::Settings,
    http::{HttpOptions, ListenError, Listener, Token},
    log::HeadExport,
    retention::Policy,
    slurm::Clusters,
    state_directory::make_private,
};
use std::{path::PathBuf, time::Duration};

/// Listens wherever the settings say; what cannot be listened on ends the daemon.
pub(super) async fn listen(settings: &Settings) -> Result<Vec<Listener>, ListenError> {
    let mode = if settings.http.socket_for_group {
        0o660
    } else {
        0o600
    };
    let path = settings.http_socket();
    // The short directory that stands in for a state directory whose path is too long.
    if let Some(directory) = path.parent().filter(|directory| !directory.exists()) {
        make_private(directory, rustix::process::geteuid().as_raw()).map_err(|source| {
            ListenError::Unix {
                path: path.clone(),
                source,
            }
        })?;
    }
    let mut listeners = vec![Listener::unix(&path, mode).await?];
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
        datasets_directory: Some(settings.state_directory().join("datasets")),
        clusters: Clusters::of(settings, &super::options::trainer(settings)),
        predictions_directory: Some(settings.state_directory().join("predictions")),
        head_key: Some(head_key(settings)),
        retention: policy(settings),
        archive: Some(archiver(settings)),
        ..HttpOptions::default()
    }
}

/// When segments of the log are closed, when they leave the database, and where they go.
pub(super) fn archiver(settings: &Settings) -> ArchiverOptions {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    let archive = &settings.archive;
    ArchiverOptions {
        directory: settings.archive_directory(),
        after: (archive.after_days > 0).then(|| days(archive.after_days)),
        segment_events: i64::from(archive.segment_events),
        segment_age: days(archive.segment_days),
    }
}

/// The file of the key that signs the log's heads.
pub(super) fn head_key(settings: &Settings) -> PathBuf {
    settings.state_directory().join("head.key")
}

/// Where the log's heads are exported, and how often; none: they are not.
pub(super) fn head_export(settings: &Settings) -> Option<HeadExport> {
    let heads = &settings.heads;
    (heads.interval_minutes > 0).then(|| HeadExport {
        directory: heads
            .directory
            .clone()
            .unwrap_or_else(|| settings.state_directory().join("heads")),
        key: head_key(settings),
        interval: Duration::from_secs(u64::from(heads.interval_minutes) * 60),
        keep: heads.keep as usize,
    })
}

/// What is kept how long.
pub(super) fn policy(settings: &Settings) -> Policy {
    let retention = &settings.retention;
    Policy {
        metrics_days: retention.metrics_days,
        activations_top: retention.activations_top,
        activations_minimum: retention.activations_minimum,
        checkpoints_last: retention.checkpoints_last,
        checkpoints_months: retention.checkpoints_months,
    }
}
