//! Comparing the tables in use with those that the log makes, in one snapshot of the database: rows, and a hash over all rows in the order of
//! their ids.
//!
//! Tables are gone through by their index on `id`, 10,000 rows at a time, so nothing of theirs is sorted or held as a whole: Postgres holds
//! the hashes of one piece, this process one hash a table. A row's hash is the one by which Postgres joins and groups rows, 64 bits wide:
//! values are equal where Postgres says that they are.

use super::{ProjectorError, progress::Teller};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use utoipa::ToSchema;

/// A table as it is and as it was made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// The table.
    pub table: &'static str,
    /// Rows in use; none when the two could not be compared.
    pub before: Option<i64>,
    /// Rows made anew.
    pub after: i64,
    /// Over all rows in use, in the order of their ids: hexadecimal.
    pub hash_before: Option<String>,
    /// Over all rows made anew.
    pub hash_after: Option<String>,
    /// Where the two differ first.
    pub first_difference: Option<FirstDifference>,
}

impl TableRows {
    /// Whether the two were compared and are not the same.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.before.is_some()
            && (Some(self.after), &self.hash_after) != (self.before, &self.hash_before)
    }
}

/// The first row, in the order of ids, that is not the same in both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FirstDifference {
    /// Its id.
    pub id: String,
    /// What is wrong with the row in use: `altered`, `missing` or `not_from_the_log`.
    pub kind: DifferenceKind,
}

/// What is wrong with a row in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It has other values than its events give it.
    Altered,
    /// It is not there.
    Missing,
    /// No event makes it.
    NotFromTheLog,
}

/// A piece of a table.
#[derive(Debug, FromRow, PartialEq, Eq)]
struct Piece {
    rows: i64,
    digest: Vec<u8>,
    last: String,
}

/// One side, as far as it was read.
struct Side<'a> {
    table: &'a Table,
    schema: &'a str,
    last: Option<String>,
    rows: i64,
    hash: Sha256,
    is_done: bool,
}

struct Table {
    name: &'static str,
    /// The column by whose order rows are gone through, and its type.
    key: &'static str,
    key_type: String,
    /// What makes a hash of a row `t`.
    row_hash: &'static str,
}

/// Compares a table of two schemas, in a transaction that sees both as they are to be compared.
pub(super) async fn table(
    connection: &mut PgConnection,
    (name, key): (&'static str, &'static str),
    live: &str,
    built: &str,
    teller: &Teller<'_>,
    done: &mut i64,
) -> Result<TableRows, ProjectorError> {
    let table = Table::find(connection, (name, key), built).await?;
    let mut before = Side::new(&table, live);
    let mut after = Side::new(&table, built);
    let mut first_difference = None;
    while !(before.is_done && after.is_done) {
        let begin = after.last.clone();
        let (one, other) = (
            before.next(connection).await?,
            after.next(connection).await?,
        );
        if one != other && first_difference.is_none() {
            first_difference = table
                .first_difference(connection, live, built, begin.as_deref())
                .await?;
        }
        *done += [one, other]
            .iter()
            .flatten()
            .map(|piece| piece.rows)
            .sum::<i64>();
        teller.at(*done);
    }
    Ok(TableRows {
        table: name,
        before: Some(before.rows),
        after: after.rows,
        hash_before: Some(format!("{:x}", before.hash.finalize())),
        hash_after: Some(format!("{:x}", after.hash.finalize())),
        first_difference,
    })
}

/// Lets the planner go through tables by their index, whatever it knows of them.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), ProjectorError> {
    sqlx::raw_sql("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; SET LOCAL jit = off")
        .execute(connection)
        .await
        .map_err(ProjectorError::database("prepare to compare"))?;
    Ok(())
}

impl<'a> Side<'a> {
    fn new(table: &'a Table, schema: &'a str) -> Self {
        Self {
            table,
            schema,
            last: None,
            rows: 0,
            hash: Sha256::new(),
            is_done: false,
        }
    }

    async fn next(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Option<Piece>, ProjectorError> {
        if self.is_done {
            return Ok(None);
        }
        let piece = self
            .table
            .piece(connection, self.schema, self.last.as_deref())
            .await?;
        match &piece {
            Some(piece) => {
                self.rows += piece.rows;
                self.hash.update(&piece.digest);
                self.last = Some(piece.last.clone());
            }
            None => self.is_done = true,
        }
        Ok(piece)
    }
}

impl Table {
    async fn find(
        connection: &mut PgConnection,
        (name, key): (&'static str, &'static str),
        schema: &str,
    ) -> Result<Self, ProjectorError> {
        let (key_type, has_no_hash): (String, bool) = sqlx::query_as(
            "SELECT max(format_type(atttypid, NULL)) FILTER (WHERE attname = $3),
                    bool_or(atttypid IN ('json'::regtype, 'xml'::regtype, 'tsvector'::regtype))
               FROM pg_attribute WHERE attrelid = format('%I.%I', $1, $2)::regclass AND attnum > 0 AND NOT attisdropped",
        )
        .bind(schema)
        .bind(name)
        .bind(key)
        .fetch_one(connection)
        .await
        .map_err(ProjectorError::database(format!("describe {schema}.{name}")))?;
        Ok(Self {
            name,
            key,
            key_type,
            row_hash: if has_no_hash {
                "sha256(record_send(t))"
            } else {
                "int8send(hash_record_extended(t, 0))"
            },
        })
    }

    /// The rows after an id. Rows that share an id are in one piece. The names are our own, and so is the type.
    fn rows(&self, schema: &str, begin: Option<&str>, columns: &str) -> String {
        let (table, key, key_type) = (self.name, self.key, &self.key_type);
        let after = begin.map_or_else(String::new, |_| {
            format!("WHERE t.{key} > $1::text::{key_type}")
        });
        format!(
            "SELECT t.{key} AS id, {columns} FROM {schema}.{table} t {after} ORDER BY t.{key} FETCH FIRST 10000 ROWS WITH TIES"
        )
    }

    async fn piece(
        &self,
        connection: &mut PgConnection,
        schema: &str,
        begin: Option<&str>,
    ) -> Result<Option<Piece>, ProjectorError> {
        let rows = self.rows(schema, begin, &format!("{} AS hash", self.row_hash));
        let mut query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT count(*) AS rows, sha256(string_agg(hash, '' ORDER BY id, hash)) AS digest, max(id)::text AS last
               FROM ({rows}) AS piece HAVING count(*) > 0"
        )));
        if let Some(begin) = begin {
            query = query.bind(begin);
        }
        query
            .fetch_optional(connection)
            .await
            .map_err(ProjectorError::database(format!(
                "compare {schema}.{}",
                self.name
            )))
    }

    /// The first row that is not the same, of the pieces of both that begin at the same place.
    async fn first_difference(
        &self,
        connection: &mut PgConnection,
        live: &str,
        built: &str,
        begin: Option<&str>,
    ) -> Result<Option<FirstDifference>, ProjectorError> {
        let columns = format!("{} AS hash", self.row_hash);
        let (before, after) = (
            self.rows(live, begin, &columns),
            self.rows(built, begin, &columns),
        );
        let mut query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT COALESCE(b.id, a.id)::text, b.hash IS NULL, a.hash IS NULL
               FROM ({before}) AS b FULL JOIN ({after}) AS a ON a.id = b.id AND a.hash = b.hash
              WHERE a.hash IS NULL OR b.hash IS NULL
              ORDER BY COALESCE(b.id, a.id) LIMIT 2"
        )));
        if let Some(begin) = begin {
            query = query.bind(begin);
        }
        let found: Vec<(String, bool, bool)> =
            query
                .fetch_all(connection)
                .await
                .map_err(ProjectorError::database(format!(
                    "look for what differs in {}",
                    self.name
                )))?;
        Ok(found.first().map(|(id, is_missing, _)| FirstDifference {
            id: id.clone(),
            kind: match found.get(1) {
                // The row as it is, and the row as it should be.
                Some((other, other_is_missing, _))
                    if other == id && other_is_missing != is_missing =>
                {
                    DifferenceKind::Altered
                }
                _ if *is_missing => DifferenceKind::Missing,
                _ => DifferenceKind::NotFromTheLog,
            },
        }))
    }
}
