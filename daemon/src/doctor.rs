//! Looks at everything that the daemon needs, and says what to do about what is missing. Changes nothing.

mod archive;
mod backups;
mod clock;
mod database;
mod disk;
mod monitoring;
mod postgres;
mod read_models;
mod settings;
mod slurm;
mod state;
mod trainer;

use crate::config::{Settings, Source};
use serde::Serialize;

/// What was found out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// In the order in which they were looked at.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// A stable name, such as `postgres.binaries`.
    pub name: &'static str,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub found: String,
    /// What to do; none when there is nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// The daemon works, but not as well as it could; or it cannot be told yet.
    Warning,
    /// The daemon cannot work, or no training can.
    Failed,
}

impl Report {
    /// Whether anything failed.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.checks
            .iter()
            .any(|check| check.outcome == Outcome::Failed)
    }

    fn ok(&mut self, name: &'static str, found: impl Into<String>) {
        self.checks.push(Check {
            name,
            outcome: Outcome::Ok,
            found: found.into(),
            advice: None,
        });
    }

    fn warning(&mut self, name: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.checks.push(Check {
            name,
            outcome: Outcome::Warning,
            found: found.into(),
            advice: Some(advice.into()),
        });
    }

    fn fail(&mut self, name: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.checks.push(Check {
            name,
            outcome: Outcome::Failed,
            found: found.into(),
            advice: Some(advice.into()),
        });
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for check in &self.checks {
            let outcome = match check.outcome {
                Outcome::Ok => "ok     ",
                Outcome::Warning => "warning",
                Outcome::Failed => "FAILED ",
            };
            writeln!(f, "{outcome}  {:<22} {}", check.name, check.found)?;
            if let Some(advice) = &check.advice {
                writeln!(f, "{:32}→ {advice}", "")?;
            }
        }
        Ok(())
    }
}

/// Examines this machine for a daemon with the settings of `source`.
pub async fn examine(source: &Source) -> Report {
    let mut report = Report::default();
    let Some(settings) = settings::examine(&mut report, source) else {
        return report;
    };
    state::examine(&mut report, &settings);
    disk::examine(&mut report, &settings);
    backups::examine(&mut report, &settings);
    if settings.database.url.is_none() {
        postgres::examine(&mut report, &settings);
    }
    let database = database::examine(&mut report, &settings).await;
    if let Some(database) = database {
        backups::examine_archive(&mut report, &settings, &database).await;
        clock::examine(&mut report, &database).await;
        read_models::examine(&mut report, &database).await;
        archive::examine(&mut report, &settings, &database).await;
        database.close().await;
    }
    trainer::examine(&mut report, &settings).await;
    slurm::examine(&mut report, &settings).await;
    report
}

/// Examines the database alone, and how it does: sizes, connections, locks, queues, lags. Reads, and changes nothing.
pub async fn examine_database(source: &Source) -> Report {
    let mut report = Report::default();
    let Some(settings) = settings::examine(&mut report, source) else {
        return report;
    };
    if let Some(database) = database::examine(&mut report, &settings).await {
        clock::examine(&mut report, &database).await;
        monitoring::examine(&mut report, &database).await;
        disk::examine_server(&mut report, &database).await;
        database.close().await;
    }
    report
}

/// Bytes as people read them.
fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 => format!("{:.1} GiB", b as f64 / f64::from(1 << 30)),
        b => format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
    }
}

/// The state directory, or the nearest directory above it that exists.
fn nearest_existing(settings: &Settings) -> std::path::PathBuf {
    let wanted = settings.state_directory();
    let existing = wanted
        .ancestors()
        .find(|path| path.exists())
        .map(ToOwned::to_owned);
    existing.unwrap_or_else(|| "/".into())
}
