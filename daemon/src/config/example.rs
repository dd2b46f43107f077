//! The example file: every setting with its documentation and default.

use super::Settings;
use std::fmt::Write;

/// A configuration file with every setting: those with a default are set to it, the others are commented out. The project keeps it as
/// `ops/trainmaster.toml`; `trainmaster config example` prints it.
#[must_use]
pub fn example_file() -> String {
    let mut out = String::from(
        "# Settings of trainmaster. Everything has a default: keep only what you change.\n\
         # An environment variable overrides the file (TRAINMASTER_DATABASE__MAX_CONNECTIONS=10), a flag overrides both\n\
         # (--set database.max_connections=10). `trainmaster config check` says what is wrong and where.\n",
    );
    for (section, about, fields) in Settings::SECTIONS {
        out.push('\n');
        for line in *about {
            let _ = writeln!(out, "#{line}");
        }
        let _ = writeln!(out, "[{section}]");
        for field in *fields {
            out.push('\n');
            for line in field.doc {
                let _ = writeln!(out, "#{line}");
            }
            let name = field
                .key
                .split_once('.')
                .map_or(field.key, |(_, name)| name);
            let _ = match (field.default)() {
                Some(default) => writeln!(out, "{name} = {default}"),
                None => writeln!(out, "# Expected: {}.\n# {name} =", field.expected),
            };
        }
    }
    out
}
