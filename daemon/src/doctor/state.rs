//! Can the daemon write to its state directory, and who else works there?

use super::{Report, nearest_existing};
use crate::{
    config::Settings,
    state_directory::{StateDirectory, StateDirectoryError},
};
use rustix::fs::{Access, access};

pub(super) fn examine(report: &mut Report, settings: &Settings) {
    let wanted = settings.state_directory();
    let existing = nearest_existing(settings);
    if access(&existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let advice = "run as a user that may write there, or set state.directory";
        report.fail(
            "state.directory",
            format!("{} may not be written to", existing.display()),
            advice,
        );
        return;
    }
    if existing != wanted {
        report.ok(
            "state.directory",
            format!("{} will be made at the first start", wanted.display()),
        );
        return;
    }
    let locked = StateDirectory::prepare(&wanted).and_then(|state| state.lock().map(drop));
    match locked {
        Ok(()) => report.ok(
            "state.directory",
            format!("{}, no daemon works in it now", wanted.display()),
        ),
        Err(StateDirectoryError::Locked { pid, .. }) => {
            report.ok(
                "state.directory",
                format!("{}, in use by the daemon (process {pid})", wanted.display()),
            );
        }
        Err(error) => report.fail(
            "state.directory",
            error.to_string(),
            "correct its owner or mode, or set state.directory",
        ),
    }
}
