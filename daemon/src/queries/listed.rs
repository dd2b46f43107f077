//! Tables that are read alike: a page at a time, the newest first, and a row by its id or its name.

use super::{Cursor, Page, Queries, QueryError, attempt, page};
use chrono::{DateTime, Utc};
use sqlx::{FromRow, postgres::PgRow};

/// A row of such a table.
pub trait Listed: Send + Unpin + for<'r> FromRow<'r, PgRow> {
    /// What people call several of them.
    const NOUNS: &'static str;
    /// A page: `$1` a time and `$2` an id that rows must come behind, or null; `$3` rows at most; `$4` a filter, or null.
    const PAGE: &'static str;
    /// The row of the id `$1`, else those of that name, at most five.
    const ONE: &'static str;

    /// Its id.
    fn id(&self) -> &str;
    /// When it was made.
    fn created_at(&self) -> DateTime<Utc>;
}

impl Queries {
    /// A page of a table. What `filter` means is the table's.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn listed<T: Listed>(
        &self,
        filter: Option<&str>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<T>, QueryError> {
        let rows: Vec<T> = sqlx::query_as(T::PAGE)
            .bind(after.map(|cursor| cursor.created_at))
            .bind(after.map(|cursor| cursor.id.as_str()))
            .bind(i64::from(limit) + 1)
            .bind(filter)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!("the {}", T::NOUNS)))?;
        Ok(page(rows, limit, |row| {
            Cursor::new(row.created_at(), row.id().to_owned()).to_string()
        }))
    }

    /// The row of an id, or the rows of a name.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn listed_one<T: Listed>(&self, given: &str) -> Result<Vec<T>, QueryError> {
        sqlx::query_as(T::ONE)
            .bind(given)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt(format!("{given} of the {}", T::NOUNS)))
    }
}
