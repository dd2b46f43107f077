//! Can the embedded Postgres run here?

use super::Report;
use crate::{
    config::Settings,
    postgres::{Account, Binaries},
};

pub(super) fn examine(report: &mut Report, settings: &Settings) {
    let directory = settings.state_directory().join("postgres");
    let cluster = std::fs::read_to_string(directory.join("PG_VERSION"))
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let cluster = cluster.map(|version| (directory.as_path(), version));
    match Binaries::find(settings.postgres.binaries.as_deref(), cluster) {
        Ok(binaries) => {
            let made = match cluster {
                Some((path, _)) => format!("cluster {}", path.display()),
                None => "the cluster will be made at the first start".to_owned(),
            };
            let found = format!(
                "PostgreSQL {} in {}; {made}",
                binaries.version(),
                binaries.directory().display()
            );
            report.ok("postgres.binaries", found);
        }
        Err(error) => report.fail(
            "postgres.binaries",
            error.to_string(),
            "apt install postgresql, or set database.url",
        ),
    }
    match Account::of_server(settings.postgres.user.as_deref()) {
        Ok(account) => report.ok("postgres.user", format!("runs as {}", account.name)),
        Err(error) => report.fail(
            "postgres.user",
            error.to_string(),
            "useradd --system trainmaster",
        ),
    }
}
