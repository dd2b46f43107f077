//! Restoring into a server of the user's own: a database beside the live one, proved there, and renamed.

use super::{
    BackupError, Progress, Restore,
    artifacts::Returned,
    logical::DUMP,
    manifest::Role,
    programs::{Programs, environment, run},
    restore::Proof,
};
use crate::{config::Settings, database::Database};
use chrono::Utc;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, postgres::PgConnectOptions,
};
use std::path::Path;

/// Names of databases may have this many bytes.
const NAME_BYTES: usize = 63;

/// Restores, and says what the live database is called now.
pub(super) async fn restore(
    restore: &Restore,
    backup: &Path,
    progress: &Progress,
) -> Result<(Proof, Option<String>, Returned), BackupError> {
    let settings = restore.settings();
    let live = Database::options_of(&settings.database)?;
    let name = live
        .get_database()
        .unwrap_or(live.get_username())
        .to_owned();
    // No database can be renamed by those who are in it.
    let mut maintenance = live
        .clone()
        .database("postgres")
        .connect()
        .await
        .map_err(BackupError::database("connect to the database postgres"))?;
    if !restore.is_rehearsal() {
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'trainmaster%'",
        )
        .bind(&name)
        .fetch_one(&mut maintenance)
        .await
        .map_err(BackupError::database("see who uses the database"))?;
        if others > 0 {
            return Err(BackupError::Refused(format!(
                "a daemon uses database {name} ({others} connections): stop it on every machine first"
            )));
        }
    }
    let time = Utc::now().format("%Y%m%dT%H%M%SZ");
    let beside = with_suffix(&name, &format!("_restore_{time}"));
    execute(
        &mut maintenance,
        "CREATE DATABASE %I TEMPLATE template0 ENCODING 'UTF8'",
        &[&beside],
    )
    .await
    .map_err(BackupError::database(
        "make a database (the user needs CREATEDB)",
    ))?;
    let proved = fill_and_prove(restore, &live, &beside, backup, progress).await;
    let proof = match proved {
        Ok(proof) if !restore.is_rehearsal() => proof,
        done => {
            execute(&mut maintenance, "DROP DATABASE %I", &[&beside])
                .await
                .map_err(BackupError::database("remove the database that was made"))?;
            return done.map(|proof| (proof, None, Returned::default()));
        }
    };
    let files = restore.put_files_back(backup, progress)?;
    progress.begin("putting it in place");
    let aside = with_suffix(&name, &format!("_before_restore_{time}"));
    let had_one = swap(&mut maintenance, &name, &beside, &aside)
        .await
        .map_err(BackupError::database("rename the databases"))?;
    let _ = maintenance.close().await;
    Ok((proof, had_one.then(|| format!("database {aside}")), files))
}

async fn fill_and_prove(
    restore: &Restore,
    live: &PgConnectOptions,
    beside: &str,
    backup: &Path,
    progress: &Progress,
) -> Result<Proof, BackupError> {
    let settings = restore.settings();
    let options = live.clone().database(beside);
    let database = Database::connect_with(options.clone(), &settings.database).await?;
    let proved = async {
        make_roles(database.owner_pool(), &restore.manifest().roles).await?;
        let programs = Programs::find(settings, restore.manifest().server_major)?;
        let dump = backup.join(DUMP);
        pg_restore(settings, &programs, &options, beside, &dump, progress).await?;
        restore.prove(&database, progress).await
    }
    .await;
    database.close().await;
    proved
}

/// Makes the roles that are missing, without a password.
pub(super) async fn make_roles(owner: &PgPool, roles: &[Role]) -> Result<(), BackupError> {
    let failed = || BackupError::database("make the roles (the user needs CREATEROLE)");
    let mut connection = owner.acquire().await.map_err(failed())?;
    let mut made = Vec::new();
    for role in roles {
        let is_there: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
                .bind(&role.name)
                .fetch_one(&mut *connection)
                .await
                .map_err(failed())?;
        if !is_there {
            let statement = match role.can_login {
                true => "CREATE ROLE %I LOGIN",
                false => "CREATE ROLE %I NOLOGIN",
            };
            execute(&mut connection, statement, &[&role.name])
                .await
                .map_err(failed())?;
            made.push(role);
        }
    }
    for role in made {
        for group in &role.member_of {
            execute(&mut connection, "GRANT %I TO %I", &[group, &role.name])
                .await
                .map_err(failed())?;
        }
    }
    Ok(())
}

/// Reads a dump into a database that is empty.
pub(super) async fn pg_restore(
    settings: &Settings,
    programs: &Programs,
    options: &PgConnectOptions,
    database: &str,
    dump: &Path,
    progress: &Progress,
) -> Result<(), BackupError> {
    let mut command = programs.command("pg_restore")?;
    command
        .envs(environment(options, &settings.database, database))
        .args(["--exit-on-error", "--no-owner", "--no-password"])
        .arg(format!("--dbname={}", conninfo_quoted(database)))
        .arg(dump);
    progress.begin("reading the dump");
    run(command, "pg_restore", dump, || {}).await.map(drop)
}

/// A name for --dbname, which would take one with a = in it for a connection string.
fn conninfo_quoted(database: &str) -> String {
    let text = database.replace('\\', r"\\").replace('\'', r"\'");
    format!("dbname='{text}'")
}

/// In one transaction: readers find the one database or the other.
async fn swap(
    maintenance: &mut PgConnection,
    name: &str,
    beside: &str,
    aside: &str,
) -> Result<bool, sqlx::Error> {
    let had_one: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut *maintenance)
            .await?;
    let mut transaction = maintenance.begin().await?;
    if had_one {
        sqlx::query(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
        )
        .bind(name)
        .execute(&mut *transaction)
        .await?;
        execute(
            &mut transaction,
            "ALTER DATABASE %I RENAME TO %I",
            &[name, aside],
        )
        .await?;
    }
    execute(
        &mut transaction,
        "ALTER DATABASE %I RENAME TO %I",
        &[beside, name],
    )
    .await?;
    transaction.commit().await?;
    Ok(had_one)
}

/// A statement with names in it, which the server quotes.
async fn execute(
    connection: &mut PgConnection,
    template: &str,
    names: &[&str],
) -> Result<(), sqlx::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let statement: String = sqlx::query_scalar("SELECT format($1, VARIADIC $2::text[])")
        .bind(template)
        .bind(names)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}

fn with_suffix(name: &str, suffix: &str) -> String {
    let room = NAME_BYTES.saturating_sub(suffix.len());
    let end = (0..=room.min(name.len()))
        .rev()
        .find(|end| name.is_char_boundary(*end));
    format!(
        "{}{suffix}",
        name.get(..end.unwrap_or(0)).unwrap_or_default()
    )
}
