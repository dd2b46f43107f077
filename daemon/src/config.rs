//! Settings: a TOML file, overridden by `TRAINMASTER_*` environment variables, overridden by flags.
//!
//! Variables that the documents of the specified applications name (`DB_*`, `LOG_*`) are other names of settings: stronger than the
//! file, weaker than `TRAINMASTER_*` and flags.
//!
//! Each setting is written once, in [`settings`], with its default, its unit and its documentation; the example file, the
//! type checks, `config check` and `config show` are made from that.

mod address;
mod alias;
mod cluster;
mod doubt;
mod example;
mod field;
mod kind;
mod problem;
mod secret;
mod settings;
mod source;
mod validate;

pub use cluster::{ClusterSettings, ClusterTable};
pub use example::example_file;
pub use field::Field;
pub use kind::Seconds;
pub use problem::{ConfigError, Problem};
pub use secret::Secret;
pub use settings::{
    BackupSettings, DatabaseSettings, DispatchSettings, HttpSettings, LogFormat, LogSettings,
    PoolerMode, PostgresSettings, ProjectorSettings, RunnerSettings, Settings, ShutdownSettings,
    SlurmSettings, SslMode, StateSettings,
};
pub use source::{Loaded, Source};
