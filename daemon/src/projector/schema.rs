//! The schemas of read models: made, granted, found, dropped.

use super::{ProjectorError, offset};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};
use tracing::warn;
use trainmaster_projections::ReadModel;

/// Written as the schema's comment: what does not bear it is somebody else's, and is left alone.
const MARK: &str =
    "Read model of trainmaster. Made from its log by the daemon; changes made by others are lost.";

/// Reads every read model, and no more of the log than its views in the schema `monitoring` tell.
const MONITOR: &str = "trainmaster_monitor";

/// Whose a schema is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Absent,
    Ours,
    Foreign,
}

/// While a read model is built anew.
pub(super) fn next(read_model: ReadModel) -> String {
    format!("{read_model}_next")
}

/// While what the log makes is compared with it.
pub(super) fn verified(read_model: ReadModel) -> String {
    format!("{read_model}_verify")
}

/// What was replaced, until nobody reads it any more.
pub(super) fn old(read_model: ReadModel) -> String {
    format!("{read_model}_old")
}

pub(super) async fn find(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<Found, ProjectorError> {
    let mark: Option<Option<String>> = sqlx::query_scalar(
        "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1",
    )
    .bind(schema)
    .fetch_optional(connection)
    .await
    .map_err(ProjectorError::database(format!(
        "look for schema {schema}"
    )))?;
    Ok(match mark {
        None => Found::Absent,
        Some(Some(mark)) if mark == MARK => Found::Ours,
        Some(_) => Found::Foreign,
    })
}

/// Makes the empty tables of a read model in a new schema, with an offset before every event.
pub(super) async fn create(
    connection: &mut PgConnection,
    read_model: ReadModel,
    schema: &str,
    reader: &str,
) -> Result<(), ProjectorError> {
    let failed = || ProjectorError::database(format!("make the tables of {schema}"));
    // The names are the program's own.
    execute(
        connection,
        format!("CREATE SCHEMA {schema}; COMMENT ON SCHEMA {schema} IS '{MARK}'; SET LOCAL search_path = {schema}"),
    )
    .await
    .map_err(failed())?;
    for part in read_model.ddl() {
        sqlx::raw_sql(*part)
            .execute(&mut *connection)
            .await
            .map_err(failed())?;
    }
    offset::begin(connection, read_model, schema).await?;
    for role in [read_model.name(), reader, MONITOR] {
        grant(connection, schema, role).await?;
    }
    set_role(connection, schema, read_model.name()).await?;
    sqlx::raw_sql(include_str!("show_constraints.sql"))
        .execute(connection)
        .await
        .map_err(ProjectorError::database(format!(
            "let role {read_model} see the constraints of {schema}"
        )))?;
    Ok(())
}

/// Drops a schema of ours, if it is there.
pub(super) async fn drop(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<(), ProjectorError> {
    match find(connection, schema).await? {
        Found::Absent => {}
        Found::Foreign => {
            return Err(ProjectorError::ForeignSchema {
                schema: schema.to_owned(),
            });
        }
        Found::Ours => execute(
            connection,
            format!("SET LOCAL lock_timeout = '1s'; DROP SCHEMA {schema} CASCADE; SET LOCAL lock_timeout TO DEFAULT"),
        )
        .await
        .map_err(ProjectorError::database(format!("drop schema {schema}")))?,
    }
    forget(connection, schema).await
}

/// Tables of the schema `projection` whose rows are a schema's.
const NOTES: [&str; 5] = [
    "offsets",
    "gaps",
    "feature_words",
    "imports",
    "missing_keys",
];

/// Forgets what is known of a schema.
async fn forget(connection: &mut PgConnection, schema: &str) -> Result<(), ProjectorError> {
    for table in NOTES {
        sqlx::query(AssertSqlSafe(format!(
            "DELETE FROM projection.{table} WHERE schema_name = $1"
        )))
        .bind(schema)
        .execute(&mut *connection)
        .await
        .map_err(ProjectorError::database(format!(
            "forget what projection.{table} says of {schema}"
        )))?;
    }
    Ok(())
}

/// Puts the schema that was built in the place of the one in use. Whoever reads goes on: nothing waits for a lock.
pub(super) async fn swap(
    connection: &mut PgConnection,
    read_model: ReadModel,
    has_live: bool,
) -> Result<(), ProjectorError> {
    let (live, next, old) = (read_model.name(), next(read_model), old(read_model));
    let failed = || ProjectorError::database(format!("put {next} in the place of {live}"));
    if has_live {
        execute(connection, format!("ALTER SCHEMA {live} RENAME TO {old}"))
            .await
            .map_err(failed())?;
    }
    execute(connection, format!("ALTER SCHEMA {next} RENAME TO {live}"))
        .await
        .map_err(failed())?;
    forget(connection, live).await?;
    for table in NOTES {
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE projection.{table} SET schema_name = $1 WHERE schema_name = $2"
        )))
        .bind(live)
        .bind(&next)
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    }
    Ok(())
}

async fn grant(
    connection: &mut PgConnection,
    schema: &str,
    role: &str,
) -> Result<(), ProjectorError> {
    set_role(connection, schema, role).await?;
    sqlx::raw_sql(include_str!("grant.sql"))
        .execute(connection)
        .await
        .map_err(ProjectorError::database(format!(
            "let role {role} read {schema}"
        )))?;
    Ok(())
}

/// Tells the scripts whom they are about.
async fn set_role(
    connection: &mut PgConnection,
    schema: &str,
    role: &str,
) -> Result<(), ProjectorError> {
    sqlx::query(
        "SELECT set_config('projector.schema', $1, true), set_config('projector.role', $2, true)",
    )
    .bind(schema)
    .bind(role)
    .execute(connection)
    .await
    .map_err(ProjectorError::database("grant"))?;
    Ok(())
}

/// The role that reads a read model: it cannot log in by itself; give it a password, or make a user a member of it. Roles are
/// the whole cluster's, so it may be there already; and not every owner may make roles, which is no reason not to go on.
pub(super) async fn ensure_role(owner: &PgPool, read_model: ReadModel) {
    let role = read_model.name();
    let made = async {
        let mut transaction = owner.begin().await?;
        sqlx::query("SELECT set_config('projector.role', $1, true)")
            .bind(role)
            .execute(&mut *transaction)
            .await?;
        sqlx::raw_sql(include_str!("role.sql"))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    };
    if let Err(error) = made.await {
        warn!(%error, role, "cannot make the role that reads this read model; make it by hand: CREATE ROLE {role} NOLOGIN");
    }
}

async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await?;
    Ok(())
}
