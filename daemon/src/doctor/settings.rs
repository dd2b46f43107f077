//! Are the settings usable?

use super::Report;
use crate::config::{Settings, Source};

pub(super) fn examine(report: &mut Report, source: &Source) -> Option<Settings> {
    match source.load() {
        Ok(loaded) => {
            let from = loaded.file.map_or_else(
                || "defaults and environment".into(),
                |file| file.display().to_string(),
            );
            if loaded.warnings.is_empty() {
                report.ok("settings", from);
            }
            for warning in &loaded.warnings {
                report.warning(
                    "settings",
                    warning.to_string(),
                    "`trainmaster config check` says more",
                );
            }
            Some(loaded.settings)
        }
        Err(error) => {
            report.fail(
                "settings",
                error.to_string(),
                "correct them; `trainmaster config example` prints every setting",
            );
            None
        }
    }
}
