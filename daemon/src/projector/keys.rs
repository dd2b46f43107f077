//! Indexes and foreign keys that the largest tables do without while they are filled from the whole log: filling takes half the time. They are
//! noted in `projection.missing_keys` and made as soon as the tables have caught up, also by a later process.

use super::{ProjectorError, progress::Teller, rebuild};
use sqlx::{AssertSqlSafe, FromRow, PgConnection, PgPool};
use trainmaster_projections::ReadModel;

/// Takes off what applying events does not need, from tables that are still empty.
pub(super) async fn take_off(
    connection: &mut PgConnection,
    read_model: ReadModel,
    schema: &str,
) -> Result<(), ProjectorError> {
    let failed = || ProjectorError::database(format!("take the keys off the tables of {schema}"));
    // So that definitions name their tables with the schema.
    sqlx::query("SET LOCAL search_path = pg_catalog")
        .execute(&mut *connection)
        .await
        .map_err(failed())?;
    for loaded in read_model.loaded() {
        let statements: Vec<String> = sqlx::query_scalar(include_str!("take_off_keys.sql"))
            .bind(schema)
            .bind(loaded.table)
            .bind(loaded.needed)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed())?;
        for statement in statements {
            execute(&mut *connection, statement)
                .await
                .map_err(failed())?;
        }
    }
    Ok(())
}

#[derive(FromRow)]
struct Missing {
    ordinal: i32,
    name: String,
    make_index: Option<String>,
    make_constraint: Option<String>,
}

/// Makes what is missing. An index is made concurrently: a transaction that builds one otherwise holds back every reader of the log until it is
/// done. A foreign key is checked in one transaction, which takes about 0.1 s for a million rows.
pub(super) async fn put_back(
    owner: &PgPool,
    schema: &str,
    teller: &Teller<'_>,
) -> Result<(), ProjectorError> {
    let failed = |name: &str| ProjectorError::database(format!("make {name} in {schema}"));
    let missing: Vec<Missing> = sqlx::query_as(
        "SELECT ordinal, name, make_index, make_constraint FROM projection.missing_keys WHERE schema_name = $1 ORDER BY ordinal",
    )
    .bind(schema)
    .fetch_all(owner)
    .await
    .map_err(failed("what is missing"))?;
    teller.begin("indexes and keys", 0, missing.len() as i64);
    for (done, key) in missing.into_iter().enumerate() {
        teller.at(done as i64);
        if let Some(make) = key.make_index
            && !is_there(owner, schema, &key.name).await?
        {
            sqlx::raw_sql(AssertSqlSafe(make))
                .execute(owner)
                .await
                .map_err(failed(&key.name))?;
        }
        let mut transaction = rebuild::begin(owner, "make a key").await?;
        if let Some(make) = key.make_constraint {
            execute(&mut transaction, make)
                .await
                .map_err(failed(&key.name))?;
        }
        sqlx::query("DELETE FROM projection.missing_keys WHERE schema_name = $1 AND ordinal = $2")
            .bind(schema)
            .bind(key.ordinal)
            .execute(&mut *transaction)
            .await
            .map_err(failed(&key.name))?;
        rebuild::commit(transaction, "make a key").await?;
    }
    Ok(())
}

/// Whether an index is there and whole; one that was interrupted is removed.
async fn is_there(owner: &PgPool, schema: &str, name: &str) -> Result<bool, ProjectorError> {
    let failed = || ProjectorError::database(format!("look for index {schema}.{name}"));
    let is_valid: Option<bool> = sqlx::query_scalar(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(format('%I.%I', $1, $2))",
    )
    .bind(schema)
    .bind(name)
    .fetch_optional(owner)
    .await
    .map_err(failed())?;
    if is_valid == Some(false) {
        sqlx::raw_sql(AssertSqlSafe(format!("DROP INDEX {schema}.{name}")))
            .execute(owner)
            .await
            .map_err(failed())?;
    }
    Ok(is_valid == Some(true))
}

/// Statements that Postgres wrote from our own definitions.
async fn execute(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}
