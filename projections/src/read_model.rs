use crate::{ApplyError, Serials, mistudio};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::fmt::Write;
use trainmaster_domain::{Event, RecordedEvent};

/// A set of tables in a schema of its own that is a function of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadModel {
    /// MechInterp Studio: datasets, models, trainings of autoencoders, features.
    Mistudio,
}

/// A name that no read model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no read model {0:?}; there is: mistudio")]
pub struct UnknownReadModel(pub String);

impl ReadModel {
    /// All there are.
    pub const ALL: [Self; 1] = [Self::Mistudio];

    /// Its name, which its schema and its role bear.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mistudio => "mistudio",
        }
    }

    /// What makes its tables, in order, in the first schema of the `search_path`.
    #[must_use]
    pub const fn ddl(self) -> &'static [&'static str] {
        match self {
            Self::Mistudio => mistudio::DDL,
        }
    }

    /// Its tables, partitions not counted.
    #[must_use]
    pub const fn tables(self) -> &'static [&'static str] {
        match self {
            Self::Mistudio => mistudio::TABLES,
        }
    }

    /// Changes whenever its tables, or how events become rows, do: `<version of the code>-<hash of the DDL>`. Tables of
    /// another version are built anew.
    #[must_use]
    pub fn version(self) -> String {
        let code = match self {
            Self::Mistudio => mistudio::VERSION,
        };
        let mut hash = Sha256::new();
        for part in self.ddl() {
            hash.update(part);
        }
        let mut version = code.to_string();
        for (n, byte) in hash.finalize().iter().take(6).enumerate() {
            let dash = if n == 0 { "-" } else { "" };
            // Writing to a String cannot fail.
            write!(version, "{dash}{byte:02x}").ok();
        }
        version
    }

    /// Whether an event brings more rows than one transaction should write: it is to be applied alone, after [`ReadModel::prepare`].
    #[must_use]
    pub const fn is_bulk(self, event: &Event) -> bool {
        match self {
            Self::Mistudio => mistudio::bulk(event).is_some(),
        }
    }

    /// Writes the rows that the next event brings beside the tables of `schema`, in transactions of their own, so that applying it
    /// takes a moment. What an earlier attempt has left is used or removed. `connection` should be used for nothing else, is not in
    /// a transaction and has the rights of the schema's owner; nobody else may prepare or apply at the same time.
    ///
    /// # Errors
    /// [`ApplyError`]; the tables themselves are then as they were.
    pub async fn prepare(
        self,
        connection: &mut PgConnection,
        schema: &str,
        serials: &Serials,
        event: &RecordedEvent,
    ) -> Result<(), ApplyError> {
        match self {
            Self::Mistudio => mistudio::prepare(connection, schema, serials, event).await,
        }
    }

    /// Applies events that follow those applied before, in the order of the log: one read, one write and at most one
    /// deletion a table, however many the events.
    ///
    /// # Errors
    /// [`ApplyError`]; then the transaction must be rolled back, and `serials` forgotten.
    pub async fn apply(
        self,
        connection: &mut PgConnection,
        serials: &mut Serials,
        events: &[RecordedEvent],
    ) -> Result<(), ApplyError> {
        match self {
            Self::Mistudio => mistudio::apply(connection, serials, events).await,
        }
    }
}

impl std::fmt::Display for ReadModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for ReadModel {
    type Err = UnknownReadModel;
    fn from_str(text: &str) -> Result<Self, UnknownReadModel> {
        Self::ALL
            .into_iter()
            .find(|read_model| read_model.name() == text)
            .ok_or_else(|| UnknownReadModel(text.to_owned()))
    }
}
