use crate::{ApplyError, Imports, Loaded, Projection, Serials, mistudio::Mistudio, pic::Pic};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use std::{
    fmt::Write,
    hash::{Hash, Hasher},
};
use trainmaster_domain::{Event, RecordedEvent};

/// A set of tables in a schema of its own that is a function of the log.
#[derive(Clone, Copy)]
pub struct ReadModel(&'static dyn Projection);

/// A name that no read model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no read model {0:?}; there are: {known}", known = known())]
pub struct UnknownReadModel(pub String);

fn known() -> String {
    ReadModel::ALL.map(ReadModel::name).join(", ")
}

impl ReadModel {
    /// MechInterp Studio: datasets, models, trainings of autoencoders, features.
    pub const MISTUDIO: Self = Self(&Mistudio);

    /// Jobs of a SLURM cluster: segmentation trainings, their models, predictions.
    pub const PIC: Self = Self(&Pic);

    /// All there are.
    pub const ALL: [Self; 2] = [Self::MISTUDIO, Self::PIC];

    /// The read model of a projection.
    #[must_use]
    pub const fn new(projection: &'static dyn Projection) -> Self {
        Self(projection)
    }

    /// Its name, which its schema and its role bear.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What makes its tables, in order, in the first schema of the `search_path`.
    #[must_use]
    pub fn ddl(self) -> &'static [&'static str] {
        self.0.ddl()
    }

    /// Its tables, partitions not counted.
    #[must_use]
    pub fn tables(self) -> &'static [&'static str] {
        self.0.tables()
    }

    /// The column by whose order two makings of a table are compared.
    #[must_use]
    pub fn key(self, table: &str) -> &'static str {
        self.0.key(table)
    }

    /// What brings it rows of files that events name.
    #[must_use]
    pub fn imports(self) -> Option<Imports> {
        self.0.imports()
    }

    /// The tables that get most of the rows.
    #[must_use]
    pub fn loaded(self) -> &'static [Loaded] {
        self.0.loaded()
    }

    /// Changes whenever its tables, or how events become rows, do: `<version of the code>-<hash of the DDL>`. Tables of
    /// another version are built anew.
    #[must_use]
    pub fn version(self) -> String {
        let mut hash = Sha256::new();
        for part in self.ddl() {
            hash.update(part);
        }
        let mut version = self.0.version().to_string();
        for (n, byte) in hash.finalize().iter().take(6).enumerate() {
            let dash = if n == 0 { "-" } else { "" };
            // Writing to a String cannot fail.
            write!(version, "{dash}{byte:02x}").ok();
        }
        version
    }

    /// Whether an event brings more rows than one transaction should write: it is to be applied alone, after [`ReadModel::prepare`].
    #[must_use]
    pub fn is_bulk(self, event: &Event) -> bool {
        self.0.is_bulk(event)
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
        self.0.prepare(connection, schema, serials, event).await
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
        self.0.apply(connection, serials, events).await
    }
}

/// One name, one read model.
impl PartialEq for ReadModel {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for ReadModel {}

impl Hash for ReadModel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl std::fmt::Debug for ReadModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
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
