//! Is there room for tokenised datasets, checkpoints and the database?

use super::{Report, nearest_existing, size};
use crate::config::Settings;
use rustix::fs::statvfs;

/// A checkpoint of the default autoencoder with its optimizer's state is about 65 MB: room for some, and for the database.
const LITTLE_BYTES: u64 = 1 << 30;
const ENOUGH_BYTES: u64 = 5 << 30;

pub(super) fn examine(report: &mut Report, settings: &Settings) {
    let path = nearest_existing(settings);
    let name = "disk";
    match statvfs(&path) {
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let found = format!("{} free for {}", size(free), path.display());
            let advice = "make room, or set state.directory to a larger disk";
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
