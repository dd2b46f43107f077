use trainmaster_domain::{Position, StreamId};

/// Why events could not become rows.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Postgres refused, or could not be reached.
    #[error("cannot write table {table}")]
    Database {
        /// The table.
        table: &'static str,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// An event about something that was never registered: events are missing before it.
    #[error("{event} at {position} is about {stream}, of which table {table} has no row")]
    NoRow {
        /// The table.
        table: &'static str,
        /// The event's type.
        event: &'static str,
        /// Where the event is.
        position: Position,
        /// Whose event it is.
        stream: StreamId,
    },
    /// A row that cannot be written as JSON.
    #[error("a row of table {table} cannot be written as JSON")]
    Json {
        /// The table.
        table: &'static str,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
}

impl ApplyError {
    /// What Postgres said, when it is the cause.
    #[must_use]
    pub const fn database(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Database { source, .. } => Some(source),
            Self::NoRow { .. } | Self::Json { .. } => None,
        }
    }

    pub(crate) fn on(table: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { table, source }
    }
}
