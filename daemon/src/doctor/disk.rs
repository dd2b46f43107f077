//! Is there room for tokenised datasets, checkpoints and the database?

use super::{Report, nearest_existing, size};
use crate::{config::Settings, database::Database};
use rustix::fs::statvfs;
use std::path::Path;

/// A checkpoint of the default autoencoder with its optimizer's state is about 65 MB: room for some, and for the database.
const LITTLE_BYTES: u64 = 1 << 30;
const ENOUGH_BYTES: u64 = 5 << 30;

pub(super) fn examine(report: &mut Report, settings: &Settings) {
    look(
        report,
        "disk",
        &nearest_existing(settings),
        "make room, or set state.directory to a larger disk",
    );
}

/// Where the server keeps its data, when that is on this machine and may be looked at.
pub(super) async fn examine_server(report: &mut Report, database: &Database) {
    let directory: Result<String, _> =
        sqlx::query_scalar("SELECT current_setting('data_directory')")
            .fetch_one(database.owner_pool())
            .await;
    let local = database.options().get_socket().is_some()
        || ["localhost", "127.0.0.1", "::1"].contains(&database.options().get_host());
    match directory {
        Ok(directory) if local && statvfs(directory.as_str()).is_ok() => {
            look(
                report,
                "database.disk",
                Path::new(&directory),
                "make room on the database's disk",
            );
        }
        _ => report.ok(
            "database.disk",
            "the server's disk cannot be seen from here: watch it there",
        ),
    }
}

fn look(report: &mut Report, name: &'static str, path: &Path, advice: &str) {
    match statvfs(path) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} free for {}", size(free), path.display());
            match free {
                ENOUGH_BYTES.. => report.ok(name, found),
                LITTLE_BYTES.. => report.warning(name, found, advice),
                _ => report.fail(name, found, advice),
            }
        }
        Err(error) => report.warning(
            name,
            format!("{}: {error}", path.display()),
            "look at the disk",
        ),
    }
}
