//! What can go wrong with migrations.

/// Why a database cannot be migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// It was migrated by a newer program.
    #[error(
        "the database is newer than this program: trainmaster {program_version} applied migration {set}/{migration}, which this version ({}) does not know. Install that version, or take the migration back with it",
        env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The migration's set.
        set: String,
        /// Its name.
        migration: String,
        /// Which version of the program applied it.
        program_version: String,
    },
    /// A migration was edited after it was applied.
    #[error(
        "migration {set}/{migration} is not the one that trainmaster {program_version} applied to this database: install a released version"
    )]
    Changed {
        /// The migration's set.
        set: String,
        /// Its name.
        migration: String,
        /// Which version of the program applied it.
        program_version: String,
    },
    /// There is no such set.
    #[error("there are no migrations called {given:?}: there are {}", known.join(", "))]
    UnknownSet {
        /// What was asked for.
        given: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// No connection.
    #[error("cannot connect to migrate the database")]
    Connect(#[source] sqlx::Error),
    /// What is applied cannot be read.
    #[error("cannot read which migrations the database has had")]
    Status(#[source] sqlx::Error),
    /// A migration failed. Nothing of it remains.
    #[error("migration {set}/{migration} failed and was rolled back")]
    Apply {
        /// The migration's set.
        set: &'static str,
        /// Its name.
        migration: &'static str,
        /// What Postgres says.
        #[source]
        source: sqlx::Error,
    },
    /// Taking one back failed. Nothing of that remains.
    #[error("taking back migration {set}/{migration} failed and was rolled back")]
    Revert {
        /// The migration's set.
        set: &'static str,
        /// Its name.
        migration: &'static str,
        /// What Postgres says.
        #[source]
        source: sqlx::Error,
    },
    /// The queue's own schema cannot be made.
    #[error(transparent)]
    Queue(#[from] crate::queue::SetupError),
    /// Whether the log was restored from another cluster cannot be told.
    #[error("cannot see whether the log was restored from another cluster")]
    Continue(#[source] sqlx::Error),
}
