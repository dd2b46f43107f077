//! What the types of the settings cannot say.

use super::{Secret, Settings};
use sqlx::postgres::PgConnectOptions;
use std::str::FromStr;

/// Keys with what is wrong about their values.
pub(super) fn validate(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut wrong = Vec::new();
    let mut check = |key, holds: bool, what: &str| {
        if !holds {
            wrong.push((key, what.to_owned()));
        }
    };

    let database = &settings.database;
    for (key, url) in [
        ("database.url", &database.url),
        ("database.direct_url", &database.direct_url),
    ] {
        let Some(url) = url else { continue };
        let scheme = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.expose().starts_with(scheme));
        check(key, scheme, "expected postgres://user@host:5432/database");
        // The parser's message does not repeat the URL, which may hold a password.
        if scheme && let Err(error) = PgConnectOptions::from_str(url.expose()) {
            check(key, false, &error.to_string());
        }
    }
    check(
        "database.direct_url",
        database.direct_url.is_none() || database.url.is_some(),
        "expected database.url as well: the embedded Postgres is reached directly anyway",
    );
    if let (Some(_), Some(url)) = (database.pooler, &database.url) {
        check(
            "database.pooler",
            database.direct_url.is_some(),
            "expected database.direct_url as well: notifications and migrations go past the pooler",
        );
        let local = PgConnectOptions::from_str(url.expose()).is_ok_and(|options| {
            options.get_socket().is_some()
                || ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&options.get_host())
        });
        check(
            "database.pooler",
            local,
            "expected a database.url on this machine: run the pooler here, and let it speak TLS to the server (server_tls_sslmode)",
        );
    }
    check(
        "database.pooler",
        database.pooler.is_none() || database.url.is_some(),
        "expected database.url, which leads to the pooler",
    );
    check(
        "database.max_connections",
        database.max_connections >= 2,
        "expected at least 2: a reader and a writer",
    );
    check(
        "database.role",
        !database.role.is_empty() && database.role.len() < 64 && !database.role.contains('\0'),
        "expected the name of a role, 1 to 63 bytes",
    );
    if let Some(path) = &database.sslrootcert
        && let Err(error) = std::fs::metadata(path)
    {
        check(
            "database.sslrootcert",
            false,
            &format!("cannot read {}: {error}", path.display()),
        );
    }
    for (key, seconds) in [
        (
            "database.acquire_timeout_seconds",
            database.acquire_timeout_seconds,
        ),
        (
            "postgres.start_timeout_seconds",
            settings.postgres.start_timeout_seconds,
        ),
        (
            "postgres.wal_archive_interval_seconds",
            settings.postgres.wal_archive_interval_seconds,
        ),
        (
            "http.request_timeout_seconds",
            settings.http.request_timeout_seconds,
        ),
        (
            "runner.heartbeat_interval_seconds",
            settings.runner.heartbeat_interval_seconds,
        ),
        (
            "slurm.poll_interval_seconds",
            settings.slurm.poll_interval_seconds,
        ),
        (
            "slurm.look_interval_seconds",
            settings.slurm.look_interval_seconds,
        ),
        (
            "slurm.call_timeout_seconds",
            settings.slurm.call_timeout_seconds,
        ),
        (
            "dispatch.poll_interval_seconds",
            settings.dispatch.poll_interval_seconds,
        ),
        (
            "dispatch.heartbeat_interval_seconds",
            settings.dispatch.heartbeat_interval_seconds,
        ),
        (
            "dispatch.reconcile_interval_seconds",
            settings.dispatch.reconcile_interval_seconds,
        ),
        (
            "projector.poll_interval_seconds",
            settings.projector.poll_interval_seconds,
        ),
    ] {
        check(
            key,
            !seconds.duration().is_zero(),
            "expected more than 0 seconds",
        );
    }

    if let Some(address) = settings.http.listen {
        check(
            "http.listen",
            address.ip().is_loopback(),
            "expected a loopback address (127.0.0.1 or [::1])",
        );
        check(
            "http.token",
            settings.http.token.is_some(),
            "expected a token, because http.listen is set",
        );
    }
    let long_enough = |token: &Secret| token.expose().len() >= 16;
    check(
        "http.token",
        settings.http.token.as_ref().is_none_or(long_enough),
        "expected at least 16 characters",
    );
    check(
        "http.max_body_bytes",
        settings.http.max_body_bytes >= 1024,
        "expected at least 1024 bytes",
    );

    let runner = &settings.runner;
    let cuda = runner
        .device
        .strip_prefix("cuda:")
        .is_some_and(|index| index.parse::<u16>().is_ok());
    check(
        "runner.device",
        cuda || ["auto", "cpu"].contains(&runner.device.as_str()),
        "expected auto, cpu or cuda:<number>",
    );
    check(
        "runner.concurrency",
        runner.concurrency >= 1,
        "expected at least 1",
    );
    check(
        "runner.cpu_threads",
        runner.cpu_threads != Some(0),
        "expected at least 1",
    );
    check(
        "runner.nice",
        (0..=19).contains(&runner.nice),
        "expected 0 to 19",
    );
    check(
        "runner.max_crashes",
        runner.max_crashes >= 1,
        "expected at least 1",
    );
    check(
        "runner.heartbeat_timeout_seconds",
        runner.heartbeat_timeout_seconds.duration()
            >= runner.heartbeat_interval_seconds.duration() * 3,
        "expected at least 3 times runner.heartbeat_interval_seconds",
    );
    check(
        "runner.retry_delay_max_seconds",
        runner.retry_delay_max_seconds >= runner.retry_delay_seconds,
        "expected at least runner.retry_delay_seconds",
    );
    let slurm = &settings.slurm;
    check(
        "slurm.signal_before_end_seconds",
        slurm.signal_before_end_seconds <= 65_535,
        "expected 0 to 65535",
    );
    check(
        "slurm.most_jobs",
        slurm.most_jobs >= 1,
        "expected at least 1",
    );
    check(
        "slurm.heartbeat_timeout_seconds",
        slurm.heartbeat_timeout_seconds.duration()
            >= runner.heartbeat_interval_seconds.duration() * 3,
        "expected at least 3 times runner.heartbeat_interval_seconds",
    );
    for (key, path) in [
        ("slurm.training_template", &slurm.training_template),
        ("slurm.inference_template", &slurm.inference_template),
        ("slurm.models_base_path", &slurm.models_base_path),
    ] {
        check(
            key,
            path.as_ref().is_none_or(|path| path.is_absolute()),
            "expected an absolute path",
        );
    }
    for (name, cluster) in slurm.clusters.iter() {
        if let Err(what) = cluster.check(name) {
            check("slurm.clusters", false, &format!("{name}: {what}"));
        }
    }
    if let Some(path) = &settings.extraction.sentence_encoder {
        check(
            "extraction.sentence_encoder",
            path.is_absolute() && path.join("config.json").is_file(),
            "expected the absolute path of a directory with config.json, tokenizer.json and model.safetensors",
        );
    }
    check(
        "projector.batch_size",
        (1..=100_000).contains(&settings.projector.batch_size),
        "expected 1 to 100000",
    );
    let retention = &settings.retention;
    for (key, number) in [
        ("retention.interval_hours", retention.interval_hours),
        ("retention.metrics_days", retention.metrics_days),
        ("retention.activations_top", retention.activations_top),
        ("retention.checkpoints_last", retention.checkpoints_last),
        ("retention.checkpoints_months", retention.checkpoints_months),
        ("backup.logical_days", settings.backup.logical_days),
        ("backup.wal_days", settings.backup.wal_days),
        ("archive.segment_days", settings.archive.segment_days),
    ] {
        check(key, (1..=100_000).contains(&number), "expected 1 to 100000");
    }
    check(
        "archive.segment_events",
        (1_000..=10_000_000).contains(&settings.archive.segment_events),
        "expected 1000 to 10000000",
    );
    check(
        "backup.compression",
        settings.backup.compression <= 9,
        "expected 0 to 9",
    );
    for (key, path) in [
        ("backup.directory", &settings.backup.directory),
        ("postgres.wal_archive", &settings.postgres.wal_archive),
    ] {
        check(
            key,
            path.as_ref().is_none_or(|path| path.is_absolute()),
            "expected an absolute path",
        );
    }
    check(
        "retention.activations_minimum",
        retention.activations_minimum.is_finite(),
        "expected a finite number",
    );
    if let Err(error) = crate::telemetry::check_level(&settings.log.level) {
        check(
            "log.level",
            false,
            &format!("{error}; expected a level or directives such as \"info,trainmaster=debug\""),
        );
    }
    wrong
}
