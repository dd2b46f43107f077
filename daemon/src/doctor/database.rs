//! Does the database answer, does it have what the migrations need, and is it up to date?

use super::Report;
use crate::{
    config::Settings,
    database::{Database, DatabaseError},
    migrate, postgres,
    state_directory::StateDirectory,
};

/// The oldest PostgreSQL that the migrations work on.
const OLDEST: i32 = 140_000;

/// The database when it answers.
pub(super) async fn examine(report: &mut Report, settings: &Settings) -> Option<Database> {
    let database = match connect(settings).await {
        Some(Ok(database)) => database,
        Some(Err(error)) => {
            report.fail(
                "database",
                error.to_string(),
                "see the message; database.* are the settings",
            );
            return None;
        }
        None => {
            let advice =
                "start the daemon (trainmaster serve) and ask again to check the database as well";
            report.warning("database", "the embedded Postgres is not running", advice);
            return None;
        }
    };
    if let Err(error) = look(report, settings, &database).await {
        report.fail("database", error.to_string(), "see the server's log");
    }
    Some(database)
}

/// None: the embedded Postgres is not running, and looking should not start it.
async fn connect(settings: &Settings) -> Option<Result<Database, DatabaseError>> {
    let mut quick = settings.clone();
    quick.database.connect_timeout_seconds = crate::config::Seconds::new(0);
    quick.database.acquire_timeout_seconds = crate::config::Seconds::new(5);
    if settings.database.url.is_some() {
        return Some(Database::connect(&quick).await);
    }
    let path = settings.state_directory();
    if !path.is_dir() {
        return None;
    }
    let options = postgres::running(&StateDirectory::prepare(&path).ok()?, &settings.postgres)?;
    Some(Database::connect_with(options, &quick.database).await)
}

async fn look(
    report: &mut Report,
    settings: &Settings,
    database: &Database,
) -> Result<(), sqlx::Error> {
    let owner = database.owner_pool();
    let (number, version, name, user): (i32, String, String, String) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                current_database()::text, session_user::text",
    )
    .fetch_one(owner)
    .await?;
    let found = format!("PostgreSQL {version}, database {name} as {user}");
    if number < OLDEST {
        report.fail("database", found, "use PostgreSQL 14 or newer");
    } else {
        report.ok("database", found);
    }
    extensions(report, database).await?;
    pending(report, database).await;
    if settings.database.direct_url.is_none() {
        role(report, settings, database).await?;
    } else {
        who_works(report, settings, database).await?;
    }
    connections(report, settings, database).await
}

async fn extensions(report: &mut Report, database: &Database) -> Result<(), sqlx::Error> {
    let available: Vec<String> =
        sqlx::query_scalar("SELECT name::text FROM pg_available_extensions")
            .fetch_all(database.owner_pool())
            .await?;
    let has = |name: &str| available.iter().any(|extension| extension == name);
    if has("hstore") {
        report.ok(
            "database.extensions",
            "hstore, which the queue needs, is available",
        );
    } else {
        let advice = "install PostgreSQL's contrib modules on the server (Debian: part of postgresql-<version>)";
        report.fail(
            "database.extensions",
            "hstore, which the queue needs, is not available",
            advice,
        );
    }
    if !has("pg_stat_statements") {
        let advice = "install PostgreSQL's contrib modules to see which statements take the time";
        report.warning(
            "database.extensions",
            "pg_stat_statements is not available",
            advice,
        );
    }
    Ok(())
}

async fn pending(report: &mut Report, database: &Database) {
    match migrate::status(database.owner_pool()).await {
        Ok(migrations) => {
            let pending = migrations
                .iter()
                .filter(|migration| migration.applied_at.is_none())
                .count();
            if pending == 0 {
                report.ok(
                    "database.migrations",
                    format!("all {} applied", migrations.len()),
                );
            } else {
                let found = format!("{pending} of {} not applied yet", migrations.len());
                report.warning(
                    "database.migrations",
                    found,
                    "trainmaster migrate up, or start the daemon, which does it",
                );
            }
        }
        Err(error) => report.fail("database.migrations", error.to_string(), "see the message"),
    }
}

async fn role(
    report: &mut Report,
    settings: &Settings,
    database: &Database,
) -> Result<(), sqlx::Error> {
    let role = &settings.database.role;
    let usable: Option<bool> = sqlx::query_scalar(
        "SELECT pg_has_role(session_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = $1",
    )
    .bind(role)
    .fetch_optional(database.owner_pool())
    .await?;
    match usable {
        Some(true) => report.ok(
            "database.role",
            format!("the daemon works as {role}, who can only append to the log"),
        ),
        Some(false) => report.warning(
            "database.role",
            format!("the connecting user is not a member of {role}"),
            format!(
                "GRANT {role} TO the connecting user, so that the daemon works with fewer rights"
            ),
        ),
        None => report.warning(
            "database.role",
            format!("{role} does not exist yet"),
            "trainmaster migrate up",
        ),
    }
    Ok(())
}

/// Who works and who owns are two users: the one must have the daemon's rights, and behind a pooler no other.
async fn who_works(
    report: &mut Report,
    settings: &Settings,
    database: &Database,
) -> Result<(), sqlx::Error> {
    let name = "database.role";
    let role = &settings.database.role;
    let found: Result<(String, bool, bool), _> = sqlx::query_as(
        "SELECT session_user::text,
                coalesce((SELECT pg_has_role(session_user, oid, 'USAGE') FROM pg_roles WHERE rolname = $1), false),
                coalesce((SELECT pg_has_role(session_user, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = 'log'), false)",
    )
    .bind(role)
    .fetch_one(database.pool())
    .await;
    match found {
        Ok((user, true, false)) => report.ok(
            name,
            format!("the daemon works as {user} with the rights of {role}, who can only append to the log"),
        ),
        Ok((user, true, true)) if settings.database.pooler.is_some() => report.warning(
            name,
            format!("behind the pooler the daemon works as {user}, who owns the log"),
            "give database.url a user with fewer rights: ops/postgresql/create-roles makes trainmaster_app",
        ),
        Ok((user, true, true)) => report.ok(name, format!("the daemon works as {role}, logged in as {user}")),
        Ok((user, false, _)) => report.warning(
            name,
            format!("{user}, who works, has not the rights of {role}"),
            format!("trainmaster migrate up; then GRANT {role} TO {user}"),
        ),
        Err(error) => report.fail(
            name,
            format!("the user of database.url cannot work: {error}"),
            "see whether the pooler runs, and that it knows the user (userlist.txt)",
        ),
    }
    Ok(())
}

async fn connections(
    report: &mut Report,
    settings: &Settings,
    database: &Database,
) -> Result<(), sqlx::Error> {
    let free: i64 = sqlx::query_scalar(
        "SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')",
    )
    .fetch_one(database.owner_pool())
    .await?;
    let wanted = i64::from(settings.database.max_connections) + 3;
    let found = format!("{free} connections free, the daemon uses up to {wanted}");
    if free >= wanted {
        report.ok("database.connections", found);
    } else {
        report.warning(
            "database.connections",
            found,
            "raise the server's max_connections or lower database.max_connections",
        );
    }
    Ok(())
}
