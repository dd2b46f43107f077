//! How the pools are set up.

use crate::config::DatabaseSettings;
use sqlx::{
    Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{sync::Arc, time::Duration};

/// A connection that was used within this time is handed out without being tried: the pool tries each when it is given back.
const FRESH: Duration = Duration::from_millis(500);

/// A transaction that does nothing for this long is ended: an open one keeps every reader of the log from what came after it.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);

/// The owner's: 2 connections, no statement time-out, closed when unused.
pub(super) fn owner(settings: &DatabaseSettings, options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(settings.acquire_timeout_seconds.duration())
        .idle_timeout(Duration::from_secs(60))
        .max_lifetime(settings.max_lifetime_seconds.duration())
        .connect_lazy_with(options)
}

/// The runtime's: works as `database.role` with a statement time-out.
pub(super) fn runtime(settings: &DatabaseSettings, options: PgConnectOptions) -> PgPool {
    let role: Arc<str> = settings.role.as_str().into();
    let statement_timeout = settings.statement_timeout_seconds.duration();
    usual(settings)
        .after_connect(move |connection, _| {
            let role = role.clone();
            Box::pin(async move { prepare(connection, &role, statement_timeout).await })
        })
        .connect_lazy_with(options)
}

/// The runtime's through a pooler in transaction mode. Nothing is set on a connection, which is another's a moment later: the user that logs in
/// has the daemon's rights and time-outs by itself.
pub(super) fn pooled(settings: &DatabaseSettings, options: PgConnectOptions) -> PgPool {
    usual(settings).connect_lazy_with(options)
}

fn usual(settings: &DatabaseSettings) -> PgPoolOptions {
    let pre_ping = settings.pre_ping;
    PgPoolOptions::new()
        .max_connections(settings.max_connections)
        .min_connections(0)
        .acquire_timeout(settings.acquire_timeout_seconds.duration())
        .idle_timeout(settings.idle_timeout_seconds.duration())
        .max_lifetime(settings.max_lifetime_seconds.duration())
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            Box::pin(async move {
                if pre_ping && metadata.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

async fn prepare(
    connection: &mut PgConnection,
    role: &str,
    statement_timeout: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "SELECT set_config('statement_timeout', $1, false),
                set_config('idle_in_transaction_session_timeout', $2, false),
                (SELECT set_config('role', rolname, false)
                   FROM pg_roles WHERE rolname = $3 AND pg_has_role(session_user, oid, 'MEMBER'))",
    )
    .bind(statement_timeout.as_millis().to_string())
    .bind(IDLE_IN_TRANSACTION.as_millis().to_string())
    .bind(role)
    .execute(connection)
    .await?;
    Ok(())
}
