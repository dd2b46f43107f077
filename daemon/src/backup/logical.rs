//! Logical backups: pg_dump's custom format, of the same moment as the manifest's figures.

use super::{
    BackupError, Progress,
    manifest::{Head, Role},
    programs::{Programs, environment, run},
};
use crate::{config::Settings, database::Database};
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use std::path::Path;

/// The dump's name in the backup.
pub(super) const DUMP: &str = "log.dump";

/// What the database says of itself at one moment, which `snapshot` names as long as the transaction is open.
pub(super) struct Facts {
    pub server_version: String,
    pub server_major: u32,
    pub head: Head,
    pub roles: Vec<Role>,
}

/// Begins a transaction on `connection` that sees one moment, and says which.
pub(super) async fn hold(connection: &mut PgConnection) -> Result<String, BackupError> {
    let failed = || BackupError::database("hold a moment of the log");
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('log.events') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed())?;
    sqlx::query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    if is_there {
        // Before the moment is chosen: what is in the table then stays there until it is copied.
        sqlx::query("LOCK TABLE ONLY log.events IN ACCESS SHARE MODE")
            .execute(&mut *connection)
            .await
            .map_err(failed())?;
    }
    sqlx::query_scalar("SELECT pg_export_snapshot()")
        .fetch_one(connection)
        .await
        .map_err(failed())
}

/// What there is to be said of the database.
pub(super) async fn facts(connection: &mut PgConnection) -> Result<Facts, BackupError> {
    let failed = || BackupError::database("look at the log");
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass('log.events') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed())?;
    if !is_there {
        return Err(BackupError::Refused(
            "there is no log in this database yet: `trainmaster migrate up` or a first start of the daemon makes it".to_owned(),
        ));
    }
    let row = sqlx::query(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed())?;
    let roles = sqlx::query(
        "SELECT r.rolname::text, r.rolcanlogin,
                ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                       WHERE m.member = r.oid AND g.rolname !~ '^pg_' ORDER BY 1)
           FROM pg_roles r
          WHERE r.rolname !~ '^pg_' AND NOT r.rolsuper
          ORDER BY 1",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed())?;
    Ok(Facts {
        server_version: row.get(0),
        server_major: row.get::<i32, _>(1).unsigned_abs(),
        head: head(connection).await?,
        roles: roles
            .iter()
            .map(|row| Role {
                name: row.get(0),
                can_login: row.get(1),
                member_of: row.get(2),
            })
            .collect(),
    })
}

/// How far the log has got.
pub(super) async fn head(connection: &mut PgConnection) -> Result<Head, BackupError> {
    let failed = || BackupError::database("look at the log's end");
    let some_are_archived: bool =
        sqlx::query_scalar("SELECT to_regclass('log.archived_events') IS NOT NULL")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed())?;
    let counted = if some_are_archived {
        "SELECT (SELECT count(*) FROM log.events WHERE transaction_id >= log.archived_to())
              + (SELECT coalesce(sum(events), 0)::bigint FROM log.segments WHERE archived_at IS NOT NULL),
                log.transaction_base()"
    } else {
        "SELECT (SELECT count(*) FROM log.events), log.transaction_base()"
    };
    let (events, transaction_base): (i64, i64) = sqlx::query_as(counted)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed())?;
    let last: Option<(String, String, DateTime<Utc>)> = sqlx::query_as(
        "SELECT transaction_id || '-' || sequence, encode(hash, 'hex'), recorded_at
           FROM log.events ORDER BY transaction_id DESC, sequence DESC LIMIT 1",
    )
    .fetch_optional(connection)
    .await
    .map_err(failed())?;
    let (position, hash, recorded_at) = match last {
        Some((position, hash, at)) => (Some(position), Some(hash), Some(at)),
        None => (None, None, None),
    };
    Ok(Head {
        events,
        position,
        hash,
        recorded_at,
        transaction_base,
    })
}

/// Dumps the database as it is in `snapshot` into the backup that is being made at `backup`.
pub(super) async fn dump(
    settings: &Settings,
    programs: &Programs,
    database: &Database,
    snapshot: &str,
    with_read_models: bool,
    backup: &Path,
    progress: &Progress,
) -> Result<(), BackupError> {
    let name = database
        .options()
        .get_database()
        .unwrap_or(database.options().get_username());
    let path = backup.join(DUMP);
    let mut command = programs.command("pg_dump")?;
    command
        .envs(environment(database.options(), &settings.database, name))
        .args([
            "--format=custom",
            "--no-password",
            "--lock-wait-timeout=60s",
        ])
        .arg(format!("--compress={}", settings.backup.compression))
        .arg(format!("--snapshot={snapshot}"))
        .arg("--file")
        .arg(&path);
    if !with_read_models {
        // They are made anew from the log: their offsets must not say that they are there.
        for schema in read_models(database).await? {
            command.arg(format!("--exclude-schema=\"{schema}\""));
        }
        command.arg("--exclude-table-data=projection.*");
    }
    progress.begin("dumping the log");
    // The dump is to be this user's alone from its first byte on.
    let file = std::os::unix::fs::OpenOptionsExt::mode(
        std::fs::OpenOptions::new().write(true).create_new(true),
        0o600,
    )
    .open(&path);
    file.map_err(BackupError::io("write", &path))?;
    run(command, "pg_dump", &path, || {
        let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        progress.at("dumping the log", Some(size), None);
    })
    .await?;
    check(programs, &path).await
}

/// Whether pg_restore can read the dump's contents.
pub(super) async fn check(programs: &Programs, path: &Path) -> Result<(), BackupError> {
    let mut command = programs.command("pg_restore")?;
    command.arg("--list").arg(path);
    let output = run(command, "pg_restore", path, || {}).await?;
    let list = String::from_utf8_lossy(&output.stdout);
    if list
        .lines()
        .any(|line| line.contains(" TABLE ") && line.contains(" log events "))
    {
        Ok(())
    } else {
        Err(BackupError::Program {
            program: "pg_restore",
            said: format!("{} has no table log.events", path.display()),
        })
    }
}

async fn read_models(database: &Database) -> Result<Vec<String>, BackupError> {
    sqlx::query_scalar(
        "SELECT nspname::text FROM pg_namespace
          WHERE obj_description(oid, 'pg_namespace') LIKE 'Read model of trainmaster.%' ORDER BY 1",
    )
    .fetch_all(database.owner_pool())
    .await
    .map_err(BackupError::database("look for read models"))
}
