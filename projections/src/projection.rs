use crate::{ApplyError, Serials};
use sqlx::PgConnection;
use std::pin::Pin;
use trainmaster_domain::{Event, RecordedEvent};

/// What an asynchronous step of a projection is.
pub type Applying<'a> = Pin<Box<dyn Future<Output = Result<(), ApplyError>> + Send + 'a>>;

/// How events become the rows of one read model. A function of the events: whoever implements it looks at no clock, no randomness and
/// no sequence of the database.
pub trait Projection: Send + Sync {
    /// Its name, which its schema and its role bear.
    fn name(&self) -> &'static str;

    /// To be raised with every change of how events become rows.
    fn version(&self) -> u32;

    /// What makes its tables, in order, in the first schema of the `search_path`.
    fn ddl(&self) -> &'static [&'static str];

    /// Its tables, partitions not counted.
    fn tables(&self) -> &'static [&'static str];

    /// The column by whose order two makings of a table are compared.
    fn key(&self, _table: &str) -> &'static str {
        "id"
    }

    /// What brings it rows of files that events name; none: nothing does.
    fn imports(&self) -> Option<Imports> {
        None
    }

    /// The tables that get most of the rows. While they are built from the whole log, they do without their foreign keys, and without
    /// the indexes that applying events does not need.
    fn loaded(&self) -> &'static [Loaded] {
        &[]
    }

    /// See [`crate::ReadModel::is_bulk`].
    fn is_bulk(&self, _event: &Event) -> bool {
        false
    }

    /// See [`crate::ReadModel::prepare`].
    fn prepare<'a>(
        &'a self,
        _connection: &'a mut PgConnection,
        _schema: &'a str,
        _serials: &'a Serials,
        _event: &'a RecordedEvent,
    ) -> Applying<'a> {
        Box::pin(async { Ok(()) })
    }

    /// See [`crate::ReadModel::apply`].
    fn apply<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        serials: &'a mut Serials,
        events: &'a [RecordedEvent],
    ) -> Applying<'a>;
}

/// Rows of files that events name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imports {
    /// The table whose rows such files are about: a file that is missing is a gap as long as its row is there.
    pub subject: &'static str,
    /// The partition of rows that belong to no other: there should be none.
    pub stray: &'static str,
}

/// A table that gets most of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Which.
    pub table: &'static str,
    /// The indexes, or unique constraints, that applying events needs.
    pub needed: &'static [&'static str],
}
