//! What is wrong with the settings, and where.

use super::Field;
use figment::{Figment, Metadata, error::Kind};
use std::path::{Path, PathBuf};

/// One thing that is wrong (or, as a warning, unwise).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the value was set: `file:line`, `environment variable NAME` or `flag`.
    pub place: String,
    /// `section.name`.
    pub key: String,
    /// What is wrong and what is expected instead.
    pub what: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.what)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.what)
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {error}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid TOML: {message}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What the parser says, with line and column.
        message: String,
    },
    /// Values are wrong: all of them, not the first alone.
    #[error("{}", listed(.0))]
    Invalid(Vec<Problem>),
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!("the configuration is not usable:\n  {}", lines.join("\n  "))
}

/// The file that was read, for finding lines in it.
pub(super) struct File<'a> {
    pub path: &'a Path,
    pub text: &'a str,
}

impl File<'_> {
    /// The 1-based line on which `key` (or its section) is set.
    fn line(&self, key: &str) -> Option<usize> {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        let mut current = "";
        let mut header = None;
        for (number, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if let Some(rest) = line.strip_prefix('[') {
                current = rest.split(']').next().unwrap_or_default().trim();
                // A setting that is a table of tables.
                let inside = current
                    .strip_prefix(key)
                    .is_some_and(|rest| rest.starts_with('.'));
                if (current == section && header.is_none()) || inside {
                    header = Some(number + 1);
                }
            } else if let Some((left, _)) = line.split_once('=') {
                let left = left.trim().trim_matches('"');
                if (current == section && left == name)
                    || (current.is_empty() && (left == key || left == section))
                {
                    return Some(number + 1);
                }
            }
        }
        header
    }

    fn place(&self, key: &str) -> String {
        match self.line(key) {
            Some(line) => format!("{}:{line}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }
}

/// Where the value of `key` comes from.
pub(super) fn place(figment: &Figment, file: Option<&File<'_>>, key: &str) -> String {
    match (figment.find_metadata(key), file) {
        (Some(metadata), Some(file)) if is_file(metadata) => file.place(key),
        (Some(metadata), _) => metadata.name.to_string(),
        (None, Some(file)) => file.path.display().to_string(),
        (None, None) => "default".to_owned(),
    }
}

fn is_file(metadata: &Metadata) -> bool {
    metadata
        .source
        .as_ref()
        .is_some_and(|source| source.file_path().is_some())
}

/// A value of the wrong type. The value itself is repeated unless it is a secret.
pub(super) fn mistyped(field: &Field, error: &figment::Error) -> String {
    let found = match &error.kind {
        _ if field.secret => None,
        Kind::InvalidType(found, _) | Kind::InvalidValue(found, _) => {
            Some(format!("found {found}"))
        }
        Kind::UnknownVariant(found, _) => Some(format!("found {found:?}")),
        Kind::ISizeOutOfRange(found) => Some(format!("found {found}")),
        Kind::USizeOutOfRange(found) => Some(format!("found {found}")),
        Kind::Message(message) => Some(message.clone()),
        Kind::UnknownField(found, known) => {
            return format!("{found:?} is not known here; expected {}", known.join(", "));
        }
        _ => None,
    };
    match found {
        Some(found) => format!("{found}; expected {}", field.expected),
        None => format!("expected {}", field.expected),
    }
}
